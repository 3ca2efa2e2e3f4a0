# What the app may do: the actions that its code calls, and no other. tests/infra/test_roles.py drives every adapter
# against a server that writes down what was asked, and compares.

locals {
  # Listed over the whole subscription, since that is how the API tells the states of all machines at once.
  reader_actions = [
    "Microsoft.Compute/virtualMachines/read",
    "Microsoft.ContainerService/managedClusters/read",
    # Who stopped a machine that should run: the activity log is read for a subscription, one resource at a time.
    "Microsoft.Insights/eventtypes/values/read",
  ]

  operator_actions = [
    "Microsoft.Compute/virtualMachines/read",
    "Microsoft.Compute/virtualMachines/instanceView/read",
    "Microsoft.Compute/virtualMachines/start/action",
    "Microsoft.Compute/virtualMachines/deallocate/action",
    # Root in the machine: it locks and unlocks MongoDB around a snapshot, and stops MicroK8s before a stop.
    "Microsoft.Compute/virtualMachines/runCommand/action",
    "Microsoft.Compute/disks/read",
    # A snapshot is a copy of its disk, and Azure asks whether its maker may read that. It would also allow an export
    # by URL, were it not for the disk's network_access_policy.
    "Microsoft.Compute/disks/beginGetAccess/action",
    "Microsoft.Compute/snapshots/read",
    "Microsoft.Compute/snapshots/write",
    "Microsoft.Compute/snapshots/delete",
    "Microsoft.Network/publicIPAddresses/read",
    "Microsoft.ContainerService/managedClusters/read",
    "Microsoft.ContainerService/managedClusters/start/action",
    "Microsoft.ContainerService/managedClusters/stop/action",
    # Health and `groundcrew doctor` ask which of all these it has.
    "Microsoft.Authorization/permissions/read",
  ]

  # Only for `snapshots.check` in policy.yaml: a disk is made of a snapshot, looked at and removed.
  check_actions = [
    "Microsoft.Compute/disks/write",
    "Microsoft.Compute/disks/delete",
    "Microsoft.Compute/snapshots/beginGetAccess/action",
  ]

  # No delete. `write` is needed to upload in blocks, and could write over a blob: that is what the locked policy of
  # the container is for.
  writer_data_actions = [
    "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
    "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write",
    "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/add/action",
  ]

  retention_data_actions = [
    "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
    "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/delete",
    # With versioning a deleted blob lives on as a version, and lifecycle rules do not remove it where a policy holds.
    "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/deleteBlobVersion/action",
  ]
}

# Deletes expired sets, whole chains at a time, and can do nothing else. The app carries it, but asks for it by name.
resource "azurerm_user_assigned_identity" "retention" {
  name                = "id-${var.name}-retention"
  resource_group_name = var.resource_group
  location            = var.location
  tags                = var.tags
}

resource "azurerm_role_definition" "reader" {
  name              = "Groundcrew reader (${var.name})"
  scope             = "/subscriptions/${var.subscription_id}"
  description       = "Sees which machines there are, and whether they run."
  assignable_scopes = ["/subscriptions/${var.subscription_id}"]

  permissions {
    actions = local.reader_actions
  }
}

resource "azurerm_role_definition" "operator" {
  name              = "Groundcrew operator (${var.name})"
  scope             = var.resource_group_id
  description       = "Starts and stops machines, and takes and removes snapshots of their disks."
  assignable_scopes = [var.resource_group_id]

  permissions {
    actions = concat(local.operator_actions, var.snapshot_check ? local.check_actions : [])
  }
}

resource "azurerm_role_definition" "backup_writer" {
  name              = "Groundcrew backup writer (${var.name})"
  scope             = var.resource_group_id
  description       = "Adds and reads backups, and deletes none."
  assignable_scopes = [var.resource_group_id]

  permissions {
    data_actions = local.writer_data_actions
  }
}

resource "azurerm_role_definition" "retention" {
  name              = "Groundcrew retention (${var.name})"
  scope             = var.resource_group_id
  description       = "Deletes backups that have expired."
  assignable_scopes = [var.resource_group_id]

  permissions {
    data_actions = local.retention_data_actions
  }
}

locals {
  app_roles = {
    reader        = { scope = "/subscriptions/${var.subscription_id}", role = azurerm_role_definition.reader }
    operator      = { scope = var.resource_group_id, role = azurerm_role_definition.operator }
    backup_writer = { scope = var.backups_container_id, role = azurerm_role_definition.backup_writer }
  }

  # What the Functions host itself needs, by Microsoft's own roles.
  host_roles = {
    "Storage Blob Data Owner"        = var.host_account_id
    "Storage Queue Data Contributor" = var.host_account_id
    "Monitoring Metrics Publisher"   = var.insights_id
  }
}

resource "azurerm_role_assignment" "app" {
  for_each           = local.app_roles
  scope              = each.value.scope
  role_definition_id = each.value.role.role_definition_resource_id
  principal_id       = var.app_principal_id
  principal_type     = "ServicePrincipal"
}

resource "azurerm_role_assignment" "host" {
  for_each             = local.host_roles
  scope                = each.value
  role_definition_name = each.key
  principal_id         = var.app_principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "retention" {
  scope              = var.backups_container_id
  role_definition_id = azurerm_role_definition.retention.role_definition_resource_id
  principal_id       = azurerm_user_assigned_identity.retention.principal_id
  principal_type     = "ServicePrincipal"
}

# Whoever applies this may read backups, to restore them.
resource "azurerm_role_assignment" "restorer" {
  scope                = var.backups_container_id
  role_definition_name = "Storage Blob Data Reader"
  principal_id         = var.admin_id
}
