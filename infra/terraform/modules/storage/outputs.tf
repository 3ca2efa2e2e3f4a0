output "account" {
  description = "The account's name."
  value       = azurerm_storage_account.backups.name
}

output "container_id" {
  description = "The id of the container of backups."
  value       = azurerm_storage_container.backups.id
}

output "locked" {
  description = "Whether backups can be deleted before their time: what the owner is told."
  value = (
    var.lock_backups
    ? "Backups cannot be changed or deleted for ${var.immutability_days} days, by anybody. This is for ever."
    : "Backups can be deleted by owners of the subscription. After a week of good ones, set lock_backups = true."
  )
}
