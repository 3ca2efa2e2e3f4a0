variable "in_cluster" {
  description = "Whether MongoDB runs in the cluster; false where an Atlas cluster serves."
  type        = bool
}

variable "namespace" {
  description = "The namespace of Rocket.Chat and of MongoDB."
  type        = string
}

variable "mongodb_version" {
  description = "MongoDB's version; Rocket.Chat says which it works with."
  type        = string
}

variable "storage_class" {
  description = "The class of its volumes."
  type        = string
}

variable "disk_gb" {
  description = "The size of each member's volume, in GiB."
  type        = number
}

variable "subnet_range" {
  description = "The range of the nodes' subnet, in which the members get addresses."
  type        = string
}

variable "functions_range" {
  description = "The range of the Functions' subnet, from which the members are reached."
  type        = string
}

variable "network_id" {
  description = "The network in which the members' names are known."
  type        = string
}

variable "resource_group" {
  description = "The resource group's name."
  type        = string
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
}
