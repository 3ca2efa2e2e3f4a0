terraform {
  required_version = ">= 1.9" # a variable's validation may name other variables

  # Exact: their schemas are what tests/infra checks against. docs/adr/0010 says why these.
  required_providers {
    azapi = {
      source  = "Azure/azapi"
      version = "2.13.0"
    }
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "5.10.0"
    }
  }

  # Filled by `tofu init -backend-config=backend.hcl`; see backend.hcl.example.
  backend "azurerm" {}
}

provider "azurerm" {
  subscription_id     = var.subscription_id
  storage_use_azuread = true # the accounts have no keys

  # Version 5 registers none by itself.
  resource_provider_registrations = "none"
  resource_providers_to_register = [
    "Microsoft.App", # the Functions' subnet is delegated to it
    "Microsoft.Compute",
    "Microsoft.Consumption",
    "Microsoft.EventGrid",
    "Microsoft.Insights",
    "Microsoft.KeyVault",
    "Microsoft.ManagedIdentity",
    "Microsoft.Network",
    "Microsoft.OperationalInsights",
    "Microsoft.Storage",
    "Microsoft.Web",
  ]

  features {
    key_vault {
      purge_soft_delete_on_destroy    = false
      recover_soft_deleted_key_vaults = true
    }

    # Everything is made through Resource Manager: the firewall of the backups does not let Terraform's machine in.
    storage {
      data_plane_available = false
    }
  }
}

provider "azapi" {
  subscription_id = var.subscription_id
}
