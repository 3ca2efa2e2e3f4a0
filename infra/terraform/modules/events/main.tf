# Event Grid calls the app's functions. A function must exist before it can be subscribed, so the first apply makes
# the topic only, and the second, once the code is deployed, the subscriptions. Nothing is lost by an event that does
# not arrive: timers compare what is with what should be, and an event only saves the wait.

locals {
  # Function to what it hears. tests/infra/test_names.py holds the names to the code's.
  subscriptions = {
    on_vm_event = {
      topic = azurerm_eventgrid_system_topic.group.name
      types = ["Microsoft.Resources.ResourceActionSuccess", "Microsoft.Resources.ResourceActionFailure"]
      operations = [
        "Microsoft.Compute/virtualMachines/start/action",
        "Microsoft.Compute/virtualMachines/deallocate/action",
        "Microsoft.ContainerService/managedClusters/start/action",
        "Microsoft.ContainerService/managedClusters/stop/action",
      ]
    }
    # A certificate that is about to end, has ended, or was renewed: the scan looks at it at once. A secret that is
    # about to end or has ended: it is rotated, if policy leaves that to the app.
    on_vault_event = {
      topic = azurerm_eventgrid_system_topic.vault.name
      types = [
        "Microsoft.KeyVault.CertificateNearExpiry",
        "Microsoft.KeyVault.CertificateExpired",
        "Microsoft.KeyVault.CertificateNewVersionCreated",
        "Microsoft.KeyVault.SecretNearExpiry",
        "Microsoft.KeyVault.SecretExpired",
      ]
      operations = []
    }
  }
}

resource "azurerm_eventgrid_system_topic" "group" {
  name                = "evgt-${var.name}-group"
  resource_group_name = var.resource_group
  location            = "Global" # as the events of a resource group are
  source_resource_id  = var.resource_group_id
  topic_type          = "Microsoft.Resources.ResourceGroups"
  tags                = var.tags
}

resource "azurerm_eventgrid_system_topic" "vault" {
  name                = "evgt-${var.name}-vault"
  resource_group_name = var.resource_group
  location            = var.location # as the vault
  source_resource_id  = var.vault_id
  topic_type          = "Microsoft.KeyVault.vaults"
  tags                = var.tags
}

resource "azurerm_eventgrid_system_topic_event_subscription" "functions" {
  for_each              = var.deployed ? local.subscriptions : {}
  name                  = replace(each.key, "_", "-")
  system_topic          = each.value.topic
  resource_group_name   = var.resource_group
  event_delivery_schema = "EventGridSchema"
  included_event_types  = each.value.types

  azure_function_endpoint {
    function_id                       = "${var.app_id}/functions/${each.key}"
    max_events_per_batch              = 1
    preferred_batch_size_in_kilobytes = 64
  }

  dynamic "advanced_filter" {
    for_each = length(each.value.operations) > 0 ? [each.value.operations] : []
    content {
      string_in {
        key    = "data.operationName"
        values = advanced_filter.value
      }
    }
  }

  # An hour later the tick and the scan have long seen it.
  retry_policy {
    event_time_to_live    = 60
    max_delivery_attempts = 10
  }
}
