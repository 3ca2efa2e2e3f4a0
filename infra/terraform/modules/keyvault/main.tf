# The vault of the app's secrets. Their values are put there by a person, never by Terraform: its state would keep
# them in the clear.

resource "azurerm_key_vault" "this" {
  name                          = var.name
  resource_group_name           = var.resource_group
  location                      = var.location
  tenant_id                     = var.tenant_id
  sku_name                      = "standard"
  rbac_authorization_enabled    = true
  purge_protection_enabled      = true
  soft_delete_retention_days    = 90
  public_network_access_enabled = true # for admin_addresses only, see below
  tags                          = var.tags

  network_acls {
    default_action             = "Deny"
    bypass                     = "None"
    virtual_network_subnet_ids = var.subnet_ids
    ip_rules                   = var.admin_addresses
  }

  lifecycle {
    prevent_destroy = true
  }
}

# Whoever applies this puts the secrets there.
resource "azurerm_role_assignment" "officer" {
  scope                = azurerm_key_vault.this.id
  role_definition_name = "Key Vault Secrets Officer"
  principal_id         = var.officer_id
}

# The app reads them, and the platform resolves references in its name.
resource "azurerm_role_assignment" "reader" {
  scope                = azurerm_key_vault.this.id
  role_definition_name = "Key Vault Secrets User"
  principal_id         = var.reader_id
  principal_type       = "ServicePrincipal"
}

# Secrets that the app rotates, each by itself: with the vault as the scope it could replace its own signing key, and
# whatever else lies there. Off unless names are given.
resource "azurerm_role_assignment" "rotation" {
  for_each             = toset(var.rotated_entries)
  scope                = "${azurerm_key_vault.this.id}/secrets/${each.value}"
  role_definition_name = "Key Vault Secrets Officer"
  principal_id         = var.reader_id
  principal_type       = "ServicePrincipal"
}
