variable "name" {
  description = "The machine's name, as in power.machines of policy.yaml."
  type        = string
}

variable "resource_group" {
  description = "The resource group's name."
  type        = string
}

variable "location" {
  description = "The Azure region."
  type        = string
}

variable "zone" {
  description = "The availability zone of the machine, its disk and its address."
  type        = string
}

variable "subnet_id" {
  description = "The subnet of the machine."
  type        = string
}

variable "private_address" {
  description = "The machine's own address in that subnet."
  type        = string
}

variable "size" {
  description = "The machine's size."
  type        = string
}

variable "os_disk_gb" {
  description = "The system disk, in GiB."
  type        = number
}

variable "data_disk_gb" {
  description = "The data disk, in GiB."
  type        = number
}

variable "data_disk_lun" {
  description = "The data disk's logical unit, by which the bootstrap script finds it."
  type        = number
}

variable "snapshot_tag" {
  description = "The tag by which Groundcrew finds the disks to snapshot."
  type        = map(string)
}

variable "admin_username" {
  description = "The administrator's name."
  type        = string
}

variable "ssh_public_key" {
  description = "The administrator's public key."
  type        = string
}

variable "custom_data" {
  description = "cloud-init, in base64; null for none."
  type        = string
}

variable "encryption_at_host" {
  description = "Whether caches and the temporary disk are encrypted too."
  type        = bool
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
}
