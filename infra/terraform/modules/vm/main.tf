# One Ubuntu machine for MicroK8s: its system on one disk, MongoDB and everything else on another.

resource "azurerm_public_ip" "this" {
  name                = "pip-${var.name}"
  resource_group_name = var.resource_group
  location            = var.location
  allocation_method   = "Static" # stays while the machine is deallocated every night
  sku                 = "Standard"
  zones               = [var.zone]
  tags                = var.tags
}

resource "azurerm_network_interface" "this" {
  name                           = "nic-${var.name}"
  resource_group_name            = var.resource_group
  location                       = var.location
  accelerated_networking_enabled = true
  tags                           = var.tags

  ip_configuration {
    name                          = "primary"
    subnet_id                     = var.subnet_id
    private_ip_address_allocation = "Static" # MONGODB_URI and the kubeconfig name it
    private_ip_address            = var.private_address
    public_ip_address_id          = azurerm_public_ip.this.id
  }
}

resource "azurerm_linux_virtual_machine" "this" {
  name                       = var.name
  resource_group_name        = var.resource_group
  location                   = var.location
  size                       = var.size
  zone                       = var.zone
  admin_username             = var.admin_username
  network_interface_ids      = [azurerm_network_interface.this.id]
  custom_data                = var.custom_data
  secure_boot_enabled        = true
  vtpm_enabled               = true
  encryption_at_host_enabled = var.encryption_at_host
  tags                       = var.tags

  admin_ssh_key {
    username   = var.admin_username
    public_key = var.ssh_public_key
  }

  os_disk {
    caching              = "ReadWrite"
    storage_account_type = "Premium_LRS"
    disk_size_gb         = var.os_disk_gb
  }

  source_image_reference {
    publisher = "Canonical"
    offer     = "ubuntu-24_04-lts"
    sku       = "server"
    version   = "latest"
  }

  identity {
    type = "SystemAssigned"
  }

  boot_diagnostics {} # the serial console, for when nothing else answers

  lifecycle {
    # A change of either would replace the machine. cloud-init runs once anyway: change the machine by the script
    # of infra/bootstrap, and the image by unattended upgrades.
    ignore_changes = [custom_data, source_image_reference]
  }
}

resource "azurerm_managed_disk" "data" {
  name                          = "disk-${var.name}-data"
  resource_group_name           = var.resource_group
  location                      = var.location
  zone                          = var.zone
  storage_account_type          = "Premium_LRS"
  create_option                 = "Empty"
  disk_size_gb                  = var.data_disk_gb
  network_access_policy         = "DenyAll" # nobody exports it by a URL; snapshots still work
  public_network_access_enabled = false
  tags                          = merge(var.tags, var.snapshot_tag)

  lifecycle {
    prevent_destroy = true # the chat's whole memory lies here
  }
}

resource "azurerm_virtual_machine_data_disk_attachment" "data" {
  managed_disk_id    = azurerm_managed_disk.data.id
  virtual_machine_id = azurerm_linux_virtual_machine.this.id
  lun                = var.data_disk_lun # the script finds it by this: names such as sdc move
  caching            = "ReadOnly"
}
