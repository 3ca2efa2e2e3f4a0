output "next" {
  description = "What to do next."
  value       = <<-EOT
    1. Domain: ${module.dns.next}
    2. Put the secrets into the vault, each from a file that you remove afterwards:
    %{for setting, secret in module.functions.vault_secrets~}
       az keyvault secret set --vault-name ${module.keyvault.name} --name ${secret} --file ${setting}.txt
    %{endfor~}
       MONGODB_URI is ${module.mongodb.uri}
       Then: az functionapp restart --resource-group ${azurerm_resource_group.this.name} --name ${module.functions.app_name}
    3. ${var.deployed ? "The code is deployed; deploy anew with: azd deploy" : "Deploy the code with: azd deploy. Then set deployed = true and apply again."}
    4. GitHub's webhook goes to https://${module.functions.host_name}/api/github/webhook
    5. Look at https://${module.functions.host_name}/api/health
    6. ${module.storage.locked}
    7. The cluster: az aks get-credentials --resource-group ${azurerm_resource_group.this.name} --name ${var.name}
    docs/runbooks/from-nothing-to-running.md goes through it step by step, docs/runbooks/move-to-aks.md moves a server here.
  EOT
}

output "url" {
  description = "The chat."
  value       = "https://${var.domain}"
}

output "app_url" {
  description = "Groundcrew."
  value       = "https://${module.functions.host_name}"
}

output "app_name" {
  description = "The Functions app."
  value       = module.functions.app_name
}

output "vault_name" {
  description = "The vault of its secrets."
  value       = module.keyvault.name
}

output "backup_account" {
  description = "The storage account of backups: GROUNDCREW_BACKUP_STORAGE on a laptop."
  value       = module.storage.account
}

output "retention_client_id" {
  description = "The identity that may delete expired backups."
  value       = module.identity.retention_client_id
}

output "machine_id" {
  description = "The cluster."
  value       = module.aks.id
}

output "public_address" {
  description = "The chat's public address."
  value       = local.public_address
}

output "mongodb_uri" {
  description = "MONGODB_URI, with the user and the password left to fill in."
  value       = module.mongodb.uri
}

output "events" {
  description = "The functions that events call."
  value       = module.events.functions
}

output "monthly_budget" {
  description = "Money a month from which people are told."
  value       = module.budget.amount
}

# `azd` finds the resource group by this.
output "AZURE_RESOURCE_GROUP" {
  description = "The resource group."
  value       = azurerm_resource_group.this.name
}
