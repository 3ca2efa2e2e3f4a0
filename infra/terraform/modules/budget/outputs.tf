output "amount" {
  description = "The budget; null if there is none."
  value       = var.amount
}
