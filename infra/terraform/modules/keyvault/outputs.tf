output "name" {
  description = "The vault's name."
  value       = azurerm_key_vault.this.name
}

output "id" {
  description = "The vault's id."
  value       = azurerm_key_vault.this.id
}
