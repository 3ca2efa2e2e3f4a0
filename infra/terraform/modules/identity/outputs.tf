output "retention_identity_id" {
  description = "The id of the identity that deletes expired backups."
  value       = azurerm_user_assigned_identity.retention.id
}

output "retention_client_id" {
  description = "By which the app asks for it."
  value       = azurerm_user_assigned_identity.retention.client_id
}
