output "app_id" {
  description = "The app's id."
  value       = azapi_resource.app.id
}

output "app_name" {
  description = "The app's name."
  value       = azapi_resource.app.name
}

output "host_name" {
  description = "The app's address, without https://."
  value       = azapi_resource.app.output.properties.defaultHostName
}

output "principal_id" {
  description = "The object id of the app's own identity."
  value       = azapi_resource.app.identity[0].principal_id
}

output "host_account_id" {
  description = "The id of the host's storage account."
  value       = azurerm_storage_account.host.id
}

output "insights_id" {
  description = "The id of Application Insights."
  value       = azurerm_application_insights.this.id
}

output "vault_secrets" {
  description = "The vault's names of the secret settings that are expected there."
  value       = module.settings.secret_names
}
