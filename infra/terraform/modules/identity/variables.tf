variable "name" {
  description = "What the names of the resources are made of."
  type        = string
}

variable "resource_group" {
  description = "The resource group's name."
  type        = string
}

variable "resource_group_id" {
  description = "The resource group of the machines."
  type        = string
}

variable "location" {
  description = "The Azure region."
  type        = string
}

variable "subscription_id" {
  description = "The subscription of the machines."
  type        = string
}

variable "app_principal_id" {
  description = "The object id of the app's own identity."
  type        = string
}

variable "admin_id" {
  description = "The object id of who restores."
  type        = string
}

variable "host_account_id" {
  description = "The id of the host's storage account."
  type        = string
}

variable "backups_container_id" {
  description = "The id of the container of backups."
  type        = string
}

variable "insights_id" {
  description = "The id of Application Insights."
  type        = string
}

variable "snapshot_check" {
  description = "Whether the app makes disks of snapshots, to look at them."
  type        = bool
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
}
