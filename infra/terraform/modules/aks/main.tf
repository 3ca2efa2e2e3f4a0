# A cluster of two or three nodes over zones, and what Rocket.Chat needs in it: an ingress, certificates, records,
# snapshots of volumes.

resource "azurerm_user_assigned_identity" "cluster" {
  name                = "id-${var.name}-cluster"
  resource_group_name = var.resource_group
  location            = var.location
  tags                = var.tags
}

# Load balancers get their addresses from the subnet, and the ingress its public one.
resource "azurerm_role_assignment" "network" {
  for_each             = { subnet = var.subnet_id, address = azurerm_public_ip.ingress.id }
  scope                = each.value
  role_definition_name = "Network Contributor"
  principal_id         = azurerm_user_assigned_identity.cluster.principal_id
  principal_type       = "ServicePrincipal"
}

# MongoDB's disks lie in this resource group, where Groundcrew looks for what to snapshot, not in that of the nodes.
# Contributor would do, and would give the cluster the vault and the backups too.
resource "azurerm_role_definition" "disks" {
  name              = "Groundcrew cluster disks (${var.name}-${var.unique})" # unique in the tenant
  scope             = var.resource_group_id
  description       = "Makes and removes the volumes of the cluster, and their snapshots."
  assignable_scopes = [var.resource_group_id]

  permissions {
    actions = [
      "Microsoft.Compute/disks/read",
      "Microsoft.Compute/disks/write",
      "Microsoft.Compute/disks/delete",
      "Microsoft.Compute/disks/beginGetAccess/action",
      "Microsoft.Compute/disks/endGetAccess/action",
      "Microsoft.Compute/snapshots/read",
      "Microsoft.Compute/snapshots/write",
      "Microsoft.Compute/snapshots/delete",
    ]
  }
}

resource "azurerm_role_assignment" "disks" {
  scope              = var.resource_group_id
  role_definition_id = azurerm_role_definition.disks.role_definition_resource_id
  principal_id       = azurerm_user_assigned_identity.cluster.principal_id
  principal_type     = "ServicePrincipal"
}

resource "azurerm_public_ip" "ingress" {
  name                = "pip-${var.name}"
  resource_group_name = var.resource_group
  location            = var.location
  allocation_method   = "Static"
  sku                 = "Standard"
  zones               = var.zones
  tags                = var.tags
}

resource "azurerm_kubernetes_cluster" "this" {
  name                      = var.name
  resource_group_name       = var.resource_group
  node_resource_group       = "${var.resource_group}-nodes"
  location                  = var.location
  dns_prefix                = var.name
  kubernetes_version        = var.kubernetes_version
  sku_tier                  = "Standard"
  local_account_disabled    = true # people by Entra ID, Groundcrew by its service account
  oidc_issuer_enabled       = true
  workload_identity_enabled = true
  automatic_upgrade_channel = "patch"
  node_os_upgrade_channel   = "NodeImage"
  image_cleaner_enabled     = true
  tags                      = var.tags

  default_node_pool {
    name                        = "nodes"
    vm_size                     = var.vm_size
    node_count                  = var.node_count
    zones                       = var.zones
    vnet_subnet_id              = var.subnet_id
    os_disk_size_gb             = 64
    max_pods                    = 110
    host_encryption_enabled     = var.encryption_at_host
    temporary_name_for_rotation = "rotate" # without it a change of size or zones would make the cluster anew

    upgrade_settings {
      max_surge = "1"
    }
  }

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.cluster.id]
  }

  azure_active_directory_role_based_access_control {
    azure_rbac_enabled = true
    tenant_id          = var.tenant_id
  }

  network_profile {
    network_plugin      = "azure"
    network_plugin_mode = "overlay"
    network_data_plane  = "cilium"
    network_policy      = "cilium"
    load_balancer_sku   = "standard"
    pod_cidr            = var.pods_range
  }

  # Nodes come from the pool above, not from the autoprovisioner.
  node_provisioning_profile {
    mode = "Manual"
  }

  storage_profile {
    disk_driver_enabled         = true
    snapshot_controller_enabled = true
  }

  # While people sleep, and while the cluster runs: a stopped one is not upgraded.
  maintenance_window_auto_upgrade {
    frequency   = "Weekly"
    interval    = 1
    day_of_week = var.maintenance.day
    start_time  = var.maintenance.time
    utc_offset  = "+00:00"
    duration    = 4
  }

  maintenance_window_node_os {
    frequency   = "Weekly"
    interval    = 1
    day_of_week = var.maintenance.day
    start_time  = var.maintenance.time
    utc_offset  = "+00:00"
    duration    = 4
  }

  lifecycle {
    # The patch channel moves it.
    ignore_changes = [kubernetes_version]
  }

  depends_on = [azurerm_role_assignment.network]
}

resource "azurerm_role_assignment" "admin" {
  scope                = azurerm_kubernetes_cluster.this.id
  role_definition_name = "Azure Kubernetes Service RBAC Cluster Admin"
  principal_id         = var.admin_id
}
