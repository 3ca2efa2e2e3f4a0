# The Functions app on Flex Consumption, its own storage account, its telemetry, and the alert when it falls silent.

# State, queues, locks and the deployed package. No keys: identities only. It is not behind a firewall, since
# deployments to Flex Consumption are written by the platform from outside of the network; see docs/adr/0010.
resource "azurerm_storage_account" "host" {
  name                             = var.host_account
  resource_group_name              = var.resource_group
  location                         = var.location
  account_kind                     = "StorageV2"
  account_tier                     = "Standard"
  account_replication_type         = var.replication
  min_tls_version                  = "TLS1_2"
  shared_access_key_enabled        = false
  default_to_oauth_authentication  = true
  local_user_enabled               = false
  allow_nested_items_to_be_public  = false
  cross_tenant_replication_enabled = false
  tags                             = var.tags

  blob_properties {
    versioning_enabled = true # the audit trail: what is written over can still be read

    delete_retention_policy {
      days = 30
    }

    container_delete_retention_policy {
      days = 30
    }
  }
}

resource "azurerm_storage_container" "host" {
  for_each              = toset(["groundcrew", "deployments"])
  name                  = each.key
  storage_account_id    = azurerm_storage_account.host.id
  container_access_type = "private"
}

# The state is rewritten every few minutes, and each time leaves a version behind.
resource "azurerm_storage_management_policy" "host" {
  storage_account_id = azurerm_storage_account.host.id

  rule {
    name    = "expire-versions"
    enabled = true

    filters {
      blob_types = ["blockBlob"]
    }

    actions {
      version {
        delete_after_days_since_creation = 30
      }
    }
  }
}

resource "azurerm_storage_queue" "work" {
  for_each           = toset(["backup-parts", "deploys", "rehearsals", "chat-commands", "notifications"])
  name               = each.key
  storage_account_id = azurerm_storage_account.host.id
}

resource "azurerm_service_plan" "this" {
  name                = "plan-${var.name}"
  resource_group_name = var.resource_group
  location            = var.location
  os_type             = "Linux"
  sku_name            = "FC1"
  tags                = var.tags
}

module "settings" {
  source                     = "../settings"
  settings                   = var.settings
  vault_settings             = var.vault_settings
  schedules                  = var.schedules
  subscription_id            = var.subscription_id
  resource_group             = var.resource_group
  backup_account             = var.backup_account
  retention_client_id        = var.retention_client_id
  host_account               = azurerm_storage_account.host.name
  domain                     = var.domain
  sign_in                    = var.sign_in_client_id != ""
  vault_uri                  = var.vault_uri
  insights_connection_string = nonsensitive(azurerm_application_insights.this.connection_string)
}

# By azapi: azurerm_function_app_flex_consumption writes an empty `AzureWebJobsStorage` at every create and update
# (hashicorp/terraform-provider-azurerm#29693), which turns identity-based triggers off, and knows no
# keyVaultReferenceIdentity. docs/adr/0010 has the whole story.
resource "azapi_resource" "app" {
  type      = "Microsoft.Web/sites@2024-11-01"
  name      = var.app_name
  parent_id = var.resource_group_id
  location  = var.location
  # `azd deploy` finds the app by this tag.
  tags = merge(var.tags, { "azd-service-name" = "groundcrew" })

  identity {
    type         = "SystemAssigned, UserAssigned"
    identity_ids = [var.retention_identity_id]
  }

  body = {
    kind = "functionapp,linux"
    properties = {
      serverFarmId              = azurerm_service_plan.this.id
      httpsOnly                 = true
      publicNetworkAccess       = "Enabled" # GitHub's webhooks come from outside
      clientAffinityEnabled     = false
      virtualNetworkSubnetId    = var.subnet_id
      keyVaultReferenceIdentity = "SystemAssigned"

      functionAppConfig = {
        runtime = {
          name    = "python"
          version = "3.13"
        }
        scaleAndConcurrency = {
          instanceMemoryMB     = var.instance_memory_mb
          maximumInstanceCount = var.maximum_instances
        }
        deployment = {
          storage = {
            type           = "blobContainer"
            value          = "${azurerm_storage_account.host.primary_blob_endpoint}${azurerm_storage_container.host["deployments"].name}"
            authentication = { type = "SystemAssignedIdentity" }
          }
        }
      }

      siteConfig = {
        minTlsVersion    = "1.2"
        scmMinTlsVersion = "1.2"
        http20Enabled    = true
        appSettings      = [for name, value in module.settings.app_settings : { name = name, value = value }]
      }
    }
  }

  response_export_values = ["properties.defaultHostName"]

  lifecycle {
    # Azure adds `hidden-link: /app-insights-resource-id` by itself, and each apply would take it away again.
    ignore_changes = [tags["hidden-link: /app-insights-resource-id"]]
  }
}

# Deployments sign in with Entra ID; nobody publishes with a password.
resource "azapi_update_resource" "no_passwords" {
  for_each  = toset(["ftp", "scm"])
  type      = "Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01"
  name      = each.key
  parent_id = azapi_resource.app.id
  body      = { properties = { allow = false } }
}

# Who looks at the pages for people. Everything else checks by itself: a signature, a key, or nothing to hide.
resource "azapi_update_resource" "sign_in" {
  type      = "Microsoft.Web/sites/config@2024-11-01"
  name      = "authsettingsV2"
  parent_id = azapi_resource.app.id

  body = {
    properties = {
      platform     = { enabled = var.sign_in_client_id != "" }
      httpSettings = { requireHttps = true }
      login        = { tokenStore = { enabled = false } }
      globalValidation = {
        requireAuthentication       = true
        unauthenticatedClientAction = "RedirectToLoginPage"
        redirectToProvider          = "azureactivedirectory"
        excludedPaths               = local.open_paths
      }
      identityProviders = {
        azureActiveDirectory = {
          enabled = var.sign_in_client_id != ""
          registration = {
            clientId     = var.sign_in_client_id
            openIdIssuer = "https://login.microsoftonline.com/${var.tenant_id}/v2.0"
          }
          validation = { allowedAudiences = [var.sign_in_client_id] }
        }
      }
    }
  }
}

locals {
  # Routes that do not ask who looks. tests/infra/test_names.py holds them to the code's.
  open_paths = [
    "/api/alerts",
    "/api/github/webhook",
    "/api/badge",
    "/api/calendar/feed", # behind a key of its own: a phone cannot sign in
    "/api/chatops",       # each chat proves itself; /api/chatops/signed-in asks who it is
    "/api/doctor",
    "/api/health",
    "/api/health/report",
    "/api/metrics",
    "/api/status/report",
    "/api/tick",
    "/admin/*",            # the host's own, behind its master key
    "/runtime/webhooks/*", # Event Grid, behind a system key
  ]
}
