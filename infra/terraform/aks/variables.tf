variable "vm_size" {
  description = "The nodes' size."
  type        = string
  default     = "Standard_D4ads_v5"

  validation {
    condition     = can(regex("^Standard_[A-Z]+[0-9]+(-[0-9]+)?[a-z]*s[a-z]*(_v[0-9]+)?$", var.vm_size))
    error_message = "vm_size is not a size that takes Premium SSDs, for example: Standard_D4ads_v5. List them with: az vm list-sizes --location REGION"
  }
}

variable "node_count" {
  description = "How many nodes: three for three members of MongoDB on nodes of their own, two to pay less."
  type        = number
  default     = 3

  validation {
    condition     = contains([2, 3], var.node_count)
    error_message = "node_count is to be 2 or 3: one node is not highly available (take the root microk8s), and more are not needed."
  }
}

variable "encryption_at_host" {
  description = "Whether the nodes' caches and temporary disks are encrypted too. The subscription needs it first: az feature register --namespace Microsoft.Compute --name EncryptionAtHost"
  type        = bool
  default     = false
}

variable "zones" {
  description = "The availability zones of the nodes."
  type        = list(string)
  default     = ["1", "2", "3"]

  validation {
    condition     = length(var.zones) >= 2 && length(setsubtract(var.zones, ["1", "2", "3"])) == 0
    error_message = "zones is to be two or three of \"1\", \"2\" and \"3\": with one, its loss is the loss of the chat."
  }
}

variable "kubernetes_version" {
  description = "The version to begin with, as 1.34; null for Azure's default. Patches come by themselves."
  type        = string
  default     = null

  validation {
    condition     = var.kubernetes_version == null || can(regex("^1\\.[0-9]{2}$", var.kubernetes_version))
    error_message = "kubernetes_version is to be a minor version such as 1.34, or null. List them with: az aks get-versions --location REGION"
  }
}

variable "maintenance" {
  description = "When nodes may be upgraded: the day and the time in UTC, while the cluster runs by policy.yaml."
  type        = object({ day = string, time = string })
  default     = { day = "Sunday", time = "02:00" }

  validation {
    condition     = contains(["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"], var.maintenance.day) && can(regex("^([01][0-9]|2[0-3]):[0-5][0-9]$", var.maintenance.time))
    error_message = "maintenance is to be a day and a time in UTC, for example: { day = \"Sunday\", time = \"02:00\" }"
  }
}

variable "mongodb_in_cluster" {
  description = "Whether MongoDB runs in the cluster. false: an Atlas cluster serves, whose address you put into the vault as MONGODB_URI."
  type        = bool
  default     = true
}

variable "mongodb_version" {
  description = "MongoDB's version. Rocket.Chat 8 works with MongoDB 8."
  type        = string
  default     = "8.0.16"

  validation {
    condition     = can(regex("^[0-9]+\\.0\\.[0-9]+$", var.mongodb_version))
    error_message = "mongodb_version is to be a release such as 8.0.16: https://releases.rocket.chat/VERSION/info says which major Rocket.Chat works with."
  }
}

variable "mongodb_disk_gb" {
  description = "The size of each member's volume, in GiB. It can grow and never shrink."
  type        = number
  default     = 128

  validation {
    condition     = var.mongodb_disk_gb >= 32 && var.mongodb_disk_gb <= 4096
    error_message = "mongodb_disk_gb is to be 32 to 4096. A Premium SSD is billed by steps: 64, 128, 256, 512, 1024."
  }
}
