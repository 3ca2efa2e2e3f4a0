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
    helm = {
      source  = "hashicorp/helm"
      version = "3.3.0"
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
    "Microsoft.ContainerService",
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

# With your own sign-in: `az login`, and kubelogin on the PATH.
provider "helm" {
  kubernetes = {
    host                   = module.aks.host
    cluster_ca_certificate = module.aks.ca_certificate
    exec = {
      api_version = "client.authentication.k8s.io/v1"
      command     = "kubelogin"
      args        = ["get-token", "--login", "azurecli", "--server-id", "6dae42f8-4368-4678-94ff-3960e28e3630"]
    }
  }
}
