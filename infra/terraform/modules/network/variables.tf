variable "name" {
  description = "What the names of the resources are made of."
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

variable "address_space" {
  description = "The network's range."
  type        = string
}

variable "functions_ports" {
  description = "The machine's ports that the Functions' subnet reaches."
  type        = list(number)
}

variable "pods_ranges" {
  description = "The ranges of a cluster's pods."
  type        = list(string)
  default     = []
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
}
