variable "name" {
  description = "The cluster's name, as in power.machines of policy.yaml."
  type        = string
}

variable "unique" {
  description = "What makes the names of roles yours in the tenant."
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
  description = "The Entra tenant."
  type        = string
}

variable "subscription_id" {
  description = "The subscription of the DNS zone."
  type        = string
}

variable "admin_id" {
  description = "The object id of the cluster's administrator."
  type        = string
}

variable "subnet_id" {
  description = "The subnet of the nodes."
  type        = string
}

variable "pods_range" {
  description = "The range of the pods, outside of the network's."
  type        = string
}

variable "vm_size" {
  description = "The nodes' size."
  type        = string
}

variable "encryption_at_host" {
  description = "Whether the nodes' caches and temporary disks are encrypted too."
  type        = bool
}

variable "node_count" {
  description = "How many nodes."
  type        = number
}

variable "zones" {
  description = "The availability zones of the nodes."
  type        = list(string)
}

variable "kubernetes_version" {
  description = "The version to begin with, as 1.34; null for Azure's default."
  type        = string
}

variable "maintenance" {
  description = "When nodes may be upgraded: the day and the time in UTC."
  type        = object({ day = string, time = string })
}

variable "snapshot_tag" {
  description = "The tag by which Groundcrew finds the disks to snapshot."
  type        = map(string)
}

variable "dns_zone" {
  description = "The zone in which external-dns makes records; empty for none."
  type        = string
}

variable "dns_zone_id" {
  description = "Its id."
  type        = string
}

variable "dns_zone_resource_group" {
  description = "Its resource group."
  type        = string
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
}
