# Rocket.Chat on MicroK8s on one machine, and Groundcrew around it.

locals {
  network        = module.network
  machine_kind   = "vm"
  public_address = module.vm.public_address
  data_disk_lun  = 10
}

module "network" {
  source          = "../modules/network"
  name            = var.name
  resource_group  = azurerm_resource_group.this.name
  location        = var.location
  address_space   = var.address_space
  functions_ports = [16443, 27017] # MicroK8s' API, MongoDB
  tags            = local.tags
}

module "vm" {
  source             = "../modules/vm"
  name               = module.policy.machine
  resource_group     = azurerm_resource_group.this.name
  location           = var.location
  zone               = var.vm_zone
  subnet_id          = module.network.machines_subnet_id
  private_address    = cidrhost(module.network.machines_range, 10)
  size               = var.vm_size
  os_disk_gb         = var.os_disk_gb
  data_disk_gb       = var.data_disk_gb
  data_disk_lun      = local.data_disk_lun
  snapshot_tag       = module.policy.snapshot_tag
  admin_username     = var.admin_username
  ssh_public_key     = trimspace(var.ssh_public_key)
  custom_data        = filebase64(var.cloud_init_file)
  encryption_at_host = var.encryption_at_host
  tags               = local.tags
}
