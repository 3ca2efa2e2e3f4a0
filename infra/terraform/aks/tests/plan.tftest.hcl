# The whole root, planned and applied against providers that only pretend. Needs no subscription. `tofu test` in this
# folder cannot clear up after itself, since it takes prevent_destroy at its word; tests/infra/test_plan.py runs it in a
# copy without that.

mock_provider "azurerm" {
  mock_data "azurerm_client_config" {
    defaults = {
      tenant_id = "11111111-1111-1111-1111-111111111111"
      object_id = "22222222-2222-2222-2222-222222222222"
    }
  }

  # The real provider reads ids in their parts, of mocks too.
  mock_resource "azurerm_resource_group" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat-aks" }
  }

  mock_resource "azurerm_subnet" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat-aks/providers/Microsoft.Network/virtualNetworks/vnet/subnets/snet" }
  }

  mock_resource "azurerm_virtual_network" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat-aks/providers/Microsoft.Network/virtualNetworks/vnet" }
  }

  mock_resource "azurerm_network_security_group" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat-aks/providers/Microsoft.Network/networkSecurityGroups/nsg" }
  }

  mock_resource "azurerm_storage_account" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat-aks/providers/Microsoft.Storage/storageAccounts/stexample" }
  }

  mock_resource "azurerm_storage_container" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat-aks/providers/Microsoft.Storage/storageAccounts/stexample/blobServices/default/containers/backups" }
  }

  mock_resource "azurerm_key_vault" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat-aks/providers/Microsoft.KeyVault/vaults/kv-example" }
  }

  mock_resource "azurerm_log_analytics_workspace" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat-aks/providers/Microsoft.OperationalInsights/workspaces/log" }
  }

  mock_resource "azurerm_application_insights" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat-aks/providers/Microsoft.Insights/components/appi" }
  }

  mock_resource "azurerm_monitor_action_group" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat-aks/providers/Microsoft.Insights/actionGroups/ag" }
  }

  mock_resource "azurerm_service_plan" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat-aks/providers/Microsoft.Web/serverFarms/plan" }
  }

  mock_resource "azurerm_user_assigned_identity" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat-aks/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id" }
  }

  mock_resource "azurerm_private_dns_zone" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat-aks/providers/Microsoft.Network/privateDnsZones/example.local" }
  }

  mock_resource "azurerm_public_ip" {
    defaults = {
      id         = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat-aks/providers/Microsoft.Network/publicIPAddresses/pip"
      ip_address = "198.51.100.10"
    }
  }

  mock_resource "azurerm_kubernetes_cluster" {
    defaults = {
      id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat-aks/providers/Microsoft.ContainerService/managedClusters/aks"
      kube_config = [{
        host                   = "https://rocketchat-aks.example.net:443"
        cluster_ca_certificate = "Q0E="
        client_certificate     = ""
        client_key             = ""
        username               = ""
        password               = ""
      }]
    }
  }

  mock_resource "azurerm_dns_zone" {
    defaults = {
      id           = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat-aks/providers/Microsoft.Network/dnsZones/example.org"
      name_servers = ["ns1.example.net", "ns2.example.net"]
    }
  }
}

mock_provider "helm" {}

mock_provider "azapi" {
  mock_resource "azapi_resource" {
    defaults = {
      id     = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat-aks/providers/Microsoft.Web/sites/func-rocketchat-aks-a1b2c3"
      output = { properties = { defaultHostName = "func-rocketchat-aks-a1b2c3.azurewebsites.net" } }
    }
  }
}

variables {
  subscription_id = "00000000-0000-0000-0000-000000000000"
  unique          = "a1b2c3"
  domain          = "chat.example.org"
  admin_addresses = ["203.0.113.7"]
  alert_emails    = ["oncall@example.org"]
  name            = "rocketchat-aks"
  policy_file     = "tests/policy.yaml"
}

run "first_apply" {
  command = apply

  assert {
    condition     = output.app_url == "https://func-rocketchat-aks-a1b2c3.azurewebsites.net"
    error_message = "app_url is ${output.app_url}"
  }
  assert {
    condition     = output.backup_account == "stbrocketchataksa1b2c3" && output.vault_name == "kv-rocketchat-aks-a1b2c3"
    error_message = "the names are ${output.backup_account} and ${output.vault_name}"
  }
  assert {
    condition     = strcontains(output.mongodb_uri, "@rocketchat-mongodb-0.rocketchat-mongodb-svc.rocketchat.svc.cluster.local:27017,")
    error_message = "mongodb_uri is ${output.mongodb_uri}"
  }
  assert {
    condition     = length(output.events) == 0
    error_message = "events are subscribed before the code is there"
  }
  assert {
    condition     = output.monthly_budget == 400
    error_message = "monthly_budget is not that of policy.yaml"
  }
  assert {
    condition     = strcontains(output.next, "az keyvault secret set --vault-name kv-rocketchat-aks-a1b2c3 --name mongodb-uri")
    error_message = "next does not say how to put the secrets into the vault: ${output.next}"
  }
  assert {
    condition     = strcontains(output.next, "Make an A record for chat.example.org with 198.51.100.10")
    error_message = "next does not say which record to make: ${output.next}"
  }
  assert {
    condition     = strcontains(output.next, "Backups can be deleted by owners")
    error_message = "next does not say that backups are not locked: ${output.next}"
  }
}

run "after_the_deployment" {
  command = apply

  variables {
    deployed = true
    dns_zone = "example.org"
  }

  assert {
    condition     = output.events == ["on_vault_event", "on_vm_event"]
    error_message = "not every function hears its events"
  }
  assert {
    condition     = strcontains(output.next, "Delegate example.org to: ns1.example.net ns2.example.net")
    error_message = "next does not say whom to delegate the zone to: ${output.next}"
  }
}

run "locked_and_with_atlas" {
  command = apply

  variables {
    deployed           = true
    lock_backups       = true
    immutability_days  = 30
    mongodb_in_cluster = false
    dns_zone           = "example.org"
    node_count         = 2
    zones              = ["1", "2"]
  }

  assert {
    condition     = strcontains(output.next, "Backups cannot be changed or deleted for 30 days")
    error_message = "next does not say that backups are locked: ${output.next}"
  }
  assert {
    condition     = startswith(output.mongodb_uri, "mongodb+srv://")
    error_message = "mongodb_uri is ${output.mongodb_uri}"
  }
}
