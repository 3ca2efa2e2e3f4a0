variable "name" {
  description = "What the names of the resources are made of."
  type        = string
}

variable "resource_group" {
  description = "The resource group's name."
  type        = string
}

variable "resource_group_id" {
  description = "The resource group whose events are heard."
  type        = string
}

variable "vault_id" {
  description = "The vault whose events are heard."
  type        = string
}

variable "location" {
  description = "The vault's region."
  type        = string
}

variable "app_id" {
  description = "The app's id."
  type        = string
}

variable "deployed" {
  description = "Whether the app's code is there."
  type        = bool
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
}
