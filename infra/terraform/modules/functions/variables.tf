variable "name" {
  description = "What the names of the resources are made of."
  type        = string
}

variable "app_name" {
  description = "The app's name: the first part of its address."
  type        = string
}

variable "host_account" {
  description = "The name of the host's storage account."
  type        = string
}

variable "replication" {
  description = "How many copies of the state, and where."
  type        = string
}

variable "resource_group" {
  description = "The resource group's name."
  type        = string
}

variable "resource_group_id" {
  description = "The resource group's id."
  type        = string
}

variable "location" {
  description = "The Azure region."
  type        = string
}

variable "tenant_id" {
  description = "The Entra tenant of the people who sign in."
  type        = string
}

variable "subnet_id" {
  description = "The delegated subnet."
  type        = string
}

variable "retention_client_id" {
  type        = string
  description = "Its client id, by which the app asks for it."
}

variable "retention_identity_id" {
  description = "The identity that may delete expired backups."
  type        = string
}

variable "settings" {
  description = "Plain app settings by name."
  type        = map(string)
}

variable "vault_settings" {
  description = "The names of the secret settings whose values are in the vault."
  type        = set(string)
}

variable "schedules" {
  description = "NCRONTAB expressions by timer."
  type        = map(string)
}

variable "subscription_id" {
  description = "The subscription of the machines."
  type        = string
}

variable "backup_account" {
  description = "The storage account of backups."
  type        = string
}

variable "domain" {
  description = "The chat's domain."
  type        = string
}

variable "vault_uri" {
  description = "The vault's address, with a slash at its end."
  type        = string
}

variable "sign_in_client_id" {
  description = "The Entra application that people sign in with; empty closes the pages."
  type        = string
}

variable "instance_memory_mb" {
  description = "Memory of an instance."
  type        = number
}

variable "maximum_instances" {
  description = "How many instances at most."
  type        = number
}

variable "alert_emails" {
  description = "Who is told when the app falls silent."
  type        = list(string)
}

variable "deployed" {
  description = "Whether the app's code is there: silence is no alarm before."
  type        = bool
}

variable "log_quota_gb" {
  description = "The most that is logged a day, in GB."
  type        = number
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
}
