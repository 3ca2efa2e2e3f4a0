variable "domain" {
  description = "The chat's domain."
  type        = string
}

variable "zone" {
  description = "The zone of the domain in Azure DNS; empty if it is elsewhere."
  type        = string
}

variable "zone_resource_group" {
  description = "The resource group of a zone that exists; empty to make it."
  type        = string
}

variable "publish" {
  description = "Whether the domain points here: false while another installation serves it."
  type        = bool
}

variable "address" {
  description = "The public address of the chat."
  type        = string
}

variable "resource_group" {
  description = "The resource group of what is made."
  type        = string
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
}
