# What surrounds the server, whichever kind it is: backups, vault, app, events, budget. This file and
# app_variables.tf are the same in both roots; tests/infra/test_roots.py holds them so. main.tf gives the locals
# `network` and `machine_kind`.

data "azurerm_client_config" "current" {}

resource "azurerm_resource_group" "this" {
  name     = "rg-${var.name}"
  location = var.location
  tags     = local.tags
}

locals {
  tags         = merge({ application = "groundcrew", "azd-env-name" = var.name }, var.tags)
  vault_name   = "kv-${var.name}-${var.unique}"
  vault_uri    = "https://${local.vault_name}.vault.azure.net/"
  compact_name = replace(var.name, "-", "")
}

module "policy" {
  source            = "../modules/policy"
  file              = var.policy_file
  machine           = var.name
  machine_kind      = local.machine_kind
  immutability_days = var.immutability_days
  lock_backups      = var.lock_backups
}

module "storage" {
  source            = "../modules/storage"
  account           = "${substr("stb${local.compact_name}", 0, 18)}${var.unique}"
  resource_group    = azurerm_resource_group.this.name
  location          = var.location
  replication       = var.backup_replication
  soft_delete_days  = var.soft_delete_days
  lock_backups      = var.lock_backups
  immutability_days = var.immutability_days
  retention         = module.policy.retention
  keep_days         = module.policy.keep_days
  subnet_ids        = [local.network.functions_subnet_id]
  admin_addresses   = var.admin_addresses
  tags              = local.tags
}

module "keyvault" {
  source          = "../modules/keyvault"
  name            = local.vault_name
  resource_group  = azurerm_resource_group.this.name
  location        = var.location
  tenant_id       = data.azurerm_client_config.current.tenant_id
  officer_id      = data.azurerm_client_config.current.object_id
  reader_id       = module.functions.principal_id
  rotated_entries = var.rotated_entries
  subnet_ids      = [local.network.functions_subnet_id]
  admin_addresses = var.admin_addresses
  tags            = local.tags
}

module "functions" {
  source                = "../modules/functions"
  name                  = var.name
  app_name              = "func-${var.name}-${var.unique}"
  host_account          = "${substr("sth${local.compact_name}", 0, 18)}${var.unique}"
  replication           = "ZRS"
  resource_group        = azurerm_resource_group.this.name
  resource_group_id     = azurerm_resource_group.this.id
  location              = var.location
  tenant_id             = data.azurerm_client_config.current.tenant_id
  subnet_id             = local.network.functions_subnet_id
  retention_identity_id = module.identity.retention_identity_id
  retention_client_id   = module.identity.retention_client_id
  settings              = var.settings
  vault_settings        = var.vault_settings
  schedules             = var.schedules
  subscription_id       = var.subscription_id
  backup_account        = module.storage.account
  domain                = var.domain
  vault_uri             = local.vault_uri
  sign_in_client_id     = var.sign_in_client_id
  instance_memory_mb    = var.instance_memory_mb
  maximum_instances     = var.maximum_instances
  alert_emails          = var.alert_emails
  deployed              = var.deployed
  log_quota_gb          = var.log_quota_gb
  tags                  = local.tags
}

module "identity" {
  source               = "../modules/identity"
  name                 = "${var.name}-${var.unique}" # the names of roles are the tenant's
  resource_group       = azurerm_resource_group.this.name
  resource_group_id    = azurerm_resource_group.this.id
  location             = var.location
  subscription_id      = var.subscription_id
  app_principal_id     = module.functions.principal_id
  admin_id             = data.azurerm_client_config.current.object_id
  host_account_id      = module.functions.host_account_id
  backups_container_id = module.storage.container_id
  insights_id          = module.functions.insights_id
  snapshot_check       = module.policy.snapshot_check
  tags                 = local.tags
}

module "events" {
  source            = "../modules/events"
  name              = var.name
  resource_group    = azurerm_resource_group.this.name
  resource_group_id = azurerm_resource_group.this.id
  vault_id          = module.keyvault.id
  location          = var.location
  app_id            = module.functions.app_id
  deployed          = var.deployed
  tags              = local.tags
}

module "budget" {
  source            = "../modules/budget"
  name              = var.name
  resource_group_id = azurerm_resource_group.this.id
  amount            = module.policy.budget
  emails            = var.alert_emails
}

module "dns" {
  source              = "../modules/dns"
  domain              = var.domain
  zone                = var.dns_zone
  zone_resource_group = var.dns_zone_resource_group
  publish             = var.publish_dns
  address             = local.public_address
  resource_group      = azurerm_resource_group.this.name
  tags                = local.tags
}
