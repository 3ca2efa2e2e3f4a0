output "id" {
  description = "The network's id."
  value       = azurerm_virtual_network.this.id
}

output "machines_subnet_id" {
  description = "The subnet of the machine or the nodes; given out only once its rules hold."
  value       = azurerm_subnet_network_security_group_association.machines.subnet_id
}

output "machines_range" {
  description = "Its range."
  value       = azurerm_subnet.machines.address_prefixes[0]
}

output "functions_subnet_id" {
  description = "The subnet that the Functions app is integrated with."
  value       = azurerm_subnet.functions.id
}

output "functions_range" {
  description = "Its range."
  value       = azurerm_subnet.functions.address_prefixes[0]
}
