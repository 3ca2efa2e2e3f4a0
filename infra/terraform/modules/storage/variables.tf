variable "account" {
  description = "The account's name."
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

variable "replication" {
  description = "How many copies, and where: GZRS and GRS survive the loss of the region."
  type        = string
}

variable "soft_delete_days" {
  description = "Days for which a deleted blob can be brought back."
  type        = number
}

variable "lock_backups" {
  description = "Whether the immutability policy is made, and locked for ever."
  type        = bool
}

variable "immutability_days" {
  description = "Days for which a blob can be neither changed nor deleted."
  type        = number
}

variable "retention" {
  description = "Who deletes expired sets: lifecycle or self."
  type        = string
}

variable "keep_days" {
  description = "How many days a set of each class is kept."
  type        = map(number)
}

variable "subnet_ids" {
  description = "The subnets that are let in."
  type        = list(string)
}

variable "admin_addresses" {
  description = "Public addresses that are let in."
  type        = list(string)
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
}
