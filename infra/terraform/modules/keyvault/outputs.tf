output "name" {
  description = "The vault's name."
  value       = azurerm_key_vault.this.name
}
