# One network: a subnet for the machine (or the nodes), one for the Functions app. From the internet only the web
# ports are open; the Kubernetes API and MongoDB only from the Functions' subnet.

resource "azurerm_virtual_network" "this" {
  name                = "vnet-${var.name}"
  resource_group_name = var.resource_group
  location            = var.location
  address_space       = [var.address_space]
  tags                = var.tags
}

resource "azurerm_subnet" "machines" {
  name                            = "snet-machines"
  resource_group_name             = var.resource_group
  virtual_network_name            = azurerm_virtual_network.this.name
  address_prefixes                = [cidrsubnet(var.address_space, 2, 0)]
  default_outbound_access_enabled = false # the machine goes out by its own public address
}

# Flex Consumption wants a subnet of its own, delegated to Microsoft.App, and no other delegation will do.
resource "azurerm_subnet" "functions" {
  name                            = "snet-functions"
  resource_group_name             = var.resource_group
  virtual_network_name            = azurerm_virtual_network.this.name
  address_prefixes                = [cidrsubnet(var.address_space, 4, 8)]
  default_outbound_access_enabled = true # GitHub, chat and Azure's own services are reached through it

  delegation {
    name = "flex"

    service_delegation {
      name    = "Microsoft.App/environments"
      actions = ["Microsoft.Network/virtualNetworks/subnets/join/action"]
    }
  }

  # Backups and secrets are reached over Azure's own network, and their firewalls know this subnet.
  service_endpoint {
    service = "Microsoft.Storage"
  }

  service_endpoint {
    service = "Microsoft.KeyVault"
  }
}

resource "azurerm_network_security_group" "machines" {
  name                = "nsg-${var.name}-machines"
  resource_group_name = var.resource_group
  location            = var.location
  tags                = var.tags

  security_rule {
    name                       = "allow-web"
    description                = "People, and the challenges of Let's Encrypt on port 80."
    priority                   = 100
    direction                  = "Inbound"
    access                     = "Allow"
    protocol                   = "Tcp"
    source_address_prefix      = "*"
    source_port_range          = "*"
    destination_address_prefix = "*"
    destination_port_ranges    = ["80", "443"]
  }

  security_rule {
    name                       = "allow-functions"
    description                = "Groundcrew: the Kubernetes API, and MongoDB."
    priority                   = 200
    direction                  = "Inbound"
    access                     = "Allow"
    protocol                   = "Tcp"
    source_address_prefixes    = azurerm_subnet.functions.address_prefixes
    source_port_range          = "*"
    destination_address_prefix = "*"
    destination_port_ranges    = [for port in var.functions_ports : tostring(port)]
  }

  # Nodes of a cluster talk to each other on any port, and so do its pods, whose range is not the network's.
  security_rule {
    name                       = "allow-machines"
    description                = "Within the subnet."
    priority                   = 300
    direction                  = "Inbound"
    access                     = "Allow"
    protocol                   = "*"
    source_address_prefixes    = concat(azurerm_subnet.machines.address_prefixes, var.pods_ranges)
    source_port_range          = "*"
    destination_address_prefix = "*"
    destination_port_range     = "*"
  }

  # The default rule AllowVnetInBound (65000) would let in every subnet, peered networks too.
  security_rule {
    name                       = "deny-network"
    description                = "Nothing else from inside the network."
    priority                   = 4000
    direction                  = "Inbound"
    access                     = "Deny"
    protocol                   = "*"
    source_address_prefix      = "VirtualNetwork"
    source_port_range          = "*"
    destination_address_prefix = "*"
    destination_port_range     = "*"
  }
}

resource "azurerm_subnet_network_security_group_association" "machines" {
  subnet_id                 = azurerm_subnet.machines.id
  network_security_group_id = azurerm_network_security_group.machines.id
}
