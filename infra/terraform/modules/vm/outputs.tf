output "id" {
  description = "The machine's id."
  value       = azurerm_linux_virtual_machine.this.id
}

output "public_address" {
  description = "The address of the chat."
  value       = azurerm_public_ip.this.ip_address
}

output "private_address" {
  description = "The address within the network."
  value       = azurerm_network_interface.this.ip_configuration[0].private_ip_address
}
