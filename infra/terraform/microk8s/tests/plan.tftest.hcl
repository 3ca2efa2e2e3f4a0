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
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat" }
  }

  mock_resource "azurerm_subnet" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat/providers/Microsoft.Network/virtualNetworks/vnet/subnets/snet" }
  }

  mock_resource "azurerm_virtual_network" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat/providers/Microsoft.Network/virtualNetworks/vnet" }
  }

  mock_resource "azurerm_network_security_group" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat/providers/Microsoft.Network/networkSecurityGroups/nsg" }
  }

  mock_resource "azurerm_storage_account" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat/providers/Microsoft.Storage/storageAccounts/stexample" }
  }

  mock_resource "azurerm_storage_container" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat/providers/Microsoft.Storage/storageAccounts/stexample/blobServices/default/containers/backups" }
  }

  mock_resource "azurerm_key_vault" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat/providers/Microsoft.KeyVault/vaults/kv-example" }
  }

  mock_resource "azurerm_log_analytics_workspace" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat/providers/Microsoft.OperationalInsights/workspaces/log" }
  }

  mock_resource "azurerm_application_insights" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat/providers/Microsoft.Insights/components/appi" }
  }

  mock_resource "azurerm_monitor_action_group" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat/providers/Microsoft.Insights/actionGroups/ag" }
  }

  mock_resource "azurerm_service_plan" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat/providers/Microsoft.Web/serverFarms/plan" }
  }

  mock_resource "azurerm_user_assigned_identity" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id" }
  }

  mock_resource "azurerm_network_interface" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat/providers/Microsoft.Network/networkInterfaces/nic" }
  }

  mock_resource "azurerm_linux_virtual_machine" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat/providers/Microsoft.Compute/virtualMachines/vm" }
  }

  mock_resource "azurerm_managed_disk" {
    defaults = { id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat/providers/Microsoft.Compute/disks/disk" }
  }

  mock_resource "azurerm_public_ip" {
    defaults = {
      id         = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat/providers/Microsoft.Network/publicIPAddresses/pip"
      ip_address = "198.51.100.10"
    }
  }

  mock_resource "azurerm_dns_zone" {
    defaults = {
      id           = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat/providers/Microsoft.Network/dnsZones/example.org"
      name_servers = ["ns1.example.net", "ns2.example.net"]
    }
  }
}

mock_provider "azapi" {
  mock_resource "azapi_resource" {
    defaults = {
      id     = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-rocketchat/providers/Microsoft.Web/sites/func-rocketchat-a1b2c3"
      output = { properties = { defaultHostName = "func-rocketchat-a1b2c3.azurewebsites.net" } }
    }
  }
}

variables {
  policy_file = "tests/policy.yaml"

  subscription_id = "00000000-0000-0000-0000-000000000000"
  unique          = "a1b2c3"
  domain          = "chat.example.org"
  admin_addresses = ["203.0.113.7"]
  alert_emails    = ["oncall@example.org"]
  ssh_public_key  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKmT5jjh0vyCXQSz8YijQzrS3gjaQPDgjWvXlFpyjuHG you@example.org"
  cloud_init_file = "main.tf" # any file: nothing is run
}

run "first_apply" {
  command = apply

  assert {
    condition     = output.app_url == "https://func-rocketchat-a1b2c3.azurewebsites.net"
    error_message = "app_url is ${output.app_url}"
  }
  assert {
    condition     = output.backup_account == "stbrocketchata1b2c3" && output.vault_name == "kv-rocketchat-a1b2c3"
    error_message = "the names are ${output.backup_account} and ${output.vault_name}"
  }
  assert {
    condition     = output.private_address == "10.20.0.10"
    error_message = "private_address is ${output.private_address}"
  }
  assert {
    condition     = length(output.events) == 0
    error_message = "events are subscribed before the code is there"
  }
  assert {
    condition     = output.monthly_budget == 150
    error_message = "monthly_budget is not that of policy.yaml"
  }
  assert {
    condition     = strcontains(output.next, "az keyvault secret set --vault-name kv-rocketchat-a1b2c3 --name mongodb-uri")
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

