# The account of backups. What is in it cannot be changed or destroyed by whoever writes it: no keys, a firewall,
# an immutability policy once its owner locks it, and a lock against the removal of the account itself.

resource "azurerm_storage_account" "backups" {
  name                     = var.account
  resource_group_name      = var.resource_group
  location                 = var.location
  account_kind             = "StorageV2"
  account_tier             = "Standard"
  account_replication_type = var.replication
  access_tier              = "Hot"
  min_tls_version          = "TLS1_2"

  shared_access_key_enabled         = false # no key, so no key to lose: identities only
  default_to_oauth_authentication   = true
  local_user_enabled                = false
  allow_nested_items_to_be_public   = false
  allowed_copy_scope                = "AAD"
  cross_tenant_replication_enabled  = false
  infrastructure_encryption_enabled = true
  tags                              = var.tags

  blob_properties {
    versioning_enabled  = true
    change_feed_enabled = true

    delete_retention_policy {
      days = var.soft_delete_days
    }

    container_delete_retention_policy {
      days = 90
    }
  }

  network_rules {
    default_action             = "Deny"
    bypass                     = ["None"]
    virtual_network_subnet_ids = var.subnet_ids
    ip_rules                   = var.admin_addresses # whoever restores from a laptop
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "azurerm_storage_container" "backups" {
  name                  = "backups"
  storage_account_id    = azurerm_storage_account.backups.id
  container_access_type = "private"

  lifecycle {
    prevent_destroy = true
  }
}

# FOR EVER. A locked policy can be prolonged five times, and never shortened or removed, by nobody, Microsoft
# included; neither the container nor the account can be deleted while a blob in it is protected. There is no
# policy without a lock here: an unlocked one can be removed by whoever could delete the blobs, and would only keep
# lifecycle rules from working.
resource "azurerm_storage_container_immutability_policy" "backups" {
  count                                 = var.lock_backups ? 1 : 0
  storage_container_resource_manager_id = azurerm_storage_container.backups.id
  immutability_period_in_days           = var.immutability_days
  locked                                = true
}

# Deletes what policy.yaml no longer keeps, where it says `backup.retention: lifecycle`. With an immutability policy
# these rules would do nothing: the timer `retention` deletes then, whole chains at a time.
resource "azurerm_storage_management_policy" "backups" {
  storage_account_id = azurerm_storage_account.backups.id

  dynamic "rule" {
    for_each = var.retention == "lifecycle" && !var.lock_backups ? var.keep_days : {}

    content {
      name    = "expire-${rule.key}"
      enabled = true

      filters {
        blob_types   = ["blockBlob"]
        prefix_match = ["${azurerm_storage_container.backups.name}/sets/${rule.key}/"]
      }

      actions {
        base_blob {
          # A day more than the policy says: the last hour of the last day is still kept.
          delete_after_days_since_creation_greater_than = rule.value + 1
        }
      }
    }
  }

  # The oplog between two sets is worth nothing without the daily set before it.
  dynamic "rule" {
    for_each = var.retention == "lifecycle" && !var.lock_backups ? { pitr = var.keep_days["daily"] } : {}

    content {
      name    = "expire-${rule.key}"
      enabled = true

      filters {
        blob_types   = ["blockBlob"]
        prefix_match = ["${azurerm_storage_container.backups.name}/${rule.key}/"]
      }

      actions {
        base_blob {
          delete_after_days_since_creation_greater_than = rule.value + 1
        }
      }
    }
  }

  # With versioning, what is deleted lives on as a version: so old versions go too, or nothing is ever freed.
  rule {
    name    = "expire-versions"
    enabled = true

    filters {
      blob_types   = ["blockBlob"]
      prefix_match = ["${azurerm_storage_container.backups.name}/"]
    }

    actions {
      version {
        delete_after_days_since_creation = max(values(var.keep_days)...) + 1
      }
    }
  }
}

# Against a slip of the hand: `tofu destroy`, or Delete in the portal. Owners can remove it.
resource "azurerm_management_lock" "backups" {
  name       = "backups"
  scope      = azurerm_storage_account.backups.id
  lock_level = "CanNotDelete"
  notes      = "The only copies of the chat outside of the chat."
}
