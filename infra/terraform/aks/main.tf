# Rocket.Chat on AKS over zones, and Groundcrew around it.

locals {
  network        = module.network
  machine_kind   = "aks"
  public_address = module.aks.public_address
  pods_range     = "10.244.0.0/16"
  zone_group     = var.dns_zone_resource_group == "" ? azurerm_resource_group.this.name : var.dns_zone_resource_group
}

module "network" {
  source          = "../modules/network"
  name            = var.name
  resource_group  = azurerm_resource_group.this.name
  location        = var.location
  address_space   = var.address_space
  functions_ports = [27017] # MongoDB; the Kubernetes API is Azure's
  pods_ranges     = [local.pods_range]
  tags            = local.tags
}

module "aks" {
  source                  = "../modules/aks"
  name                    = module.policy.machine
  unique                  = var.unique
  resource_group          = azurerm_resource_group.this.name
  resource_group_id       = azurerm_resource_group.this.id
  location                = var.location
  tenant_id               = data.azurerm_client_config.current.tenant_id
  subscription_id         = var.subscription_id
  admin_id                = data.azurerm_client_config.current.object_id
  subnet_id               = module.network.machines_subnet_id
  pods_range              = local.pods_range
  vm_size                 = var.vm_size
  node_count              = var.node_count
  encryption_at_host      = var.encryption_at_host
  zones                   = var.zones
  kubernetes_version      = var.kubernetes_version
  maintenance             = var.maintenance
  snapshot_tag            = module.policy.snapshot_tag
  dns_zone                = var.dns_zone
  dns_zone_id             = module.dns.zone_id
  dns_zone_resource_group = local.zone_group
  tags                    = local.tags
}

module "mongodb" {
  source          = "../modules/mongodb"
  in_cluster      = var.mongodb_in_cluster
  namespace       = module.policy.namespace
  mongodb_version = var.mongodb_version
  storage_class   = module.aks.storage_class
  disk_gb         = var.mongodb_disk_gb
  subnet_range    = module.network.machines_range
  functions_range = module.network.functions_range
  network_id      = module.network.id
  resource_group  = azurerm_resource_group.this.name
  tags            = local.tags
}
