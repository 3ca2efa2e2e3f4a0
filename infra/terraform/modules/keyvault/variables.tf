variable "name" {
  description = "The vault's name."
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

variable "tenant_id" {
  description = "The Entra tenant."
  type        = string
}

variable "officer_id" {
  description = "The object id of who puts secrets there."
  type        = string
}

variable "reader_id" {
  description = "The object id of the app's identity."
  type        = string
}

variable "rotated_entries" {
  description = "Names of the secrets that the app may write."
  type        = list(string)
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
