# The variables of both roots. This file and app.tf are the same in both; tests/infra/test_roots.py holds them so.

variable "subscription_id" {
  description = "The subscription in which everything is made: `az account show --query id`."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", lower(var.subscription_id)))
    error_message = "subscription_id is not the id of a subscription. Find it with: az account show --query id --output tsv"
  }
}

variable "name" {
  description = "The server's name: of the machine or the cluster, as in power.machines of policy.yaml, and in the names of all that belongs to it."
  type        = string
  default     = "rocketchat"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,12}[a-z0-9]$", var.name)) && !strcontains(var.name, "--")
    error_message = "name is to be 3 to 14 lowercase letters, digits and single hyphens, beginning with a letter, for example: rocketchat"
  }
}

variable "unique" {
  description = "A few characters that make the names of the storage accounts, the vault, the app and the roles yours in the whole world."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]{3,6}$", var.unique))
    error_message = "unique is to be 3 to 6 lowercase letters and digits, for example the first of: openssl rand -hex 3"
  }
}

variable "location" {
  description = "The Azure region; one with availability zones."
  type        = string
  default     = "westeurope"

  validation {
    condition     = can(regex("^[a-z]+[a-z0-9]*$", var.location))
    error_message = "location is to be a region's short name, for example westeurope. List them with: az account list-locations --query '[].name'"
  }
}

variable "domain" {
  description = "The chat's domain."
  type        = string

  validation {
    condition     = length(var.domain) <= 253 && can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])$", var.domain))
    error_message = "domain is not a domain. Give it in lowercase, without https:// and without a path, for example: chat.example.org"
  }
}

variable "dns_zone" {
  description = "The zone of the domain in Azure DNS. Empty: the domain is managed elsewhere, and an output says which record to make."
  type        = string
  default     = ""

  validation {
    condition     = var.dns_zone == "" || var.domain == var.dns_zone || endswith(var.domain, ".${var.dns_zone}")
    error_message = "dns_zone is not the zone of domain. For chat.example.org it is example.org, or empty."
  }
}

variable "dns_zone_resource_group" {
  description = "The resource group of a zone that exists already. Empty: the zone is made, and an output says whom to delegate it to."
  type        = string
  default     = ""

  validation {
    condition     = var.dns_zone_resource_group == "" || var.dns_zone != ""
    error_message = "dns_zone_resource_group is given without dns_zone. Set dns_zone too, for example: example.org"
  }
}

variable "publish_dns" {
  description = "Whether the domain points here. false while another installation serves it; see docs/runbooks/move-to-aks.md."
  type        = bool
  default     = true
}

variable "address_space" {
  description = "The network's range. Choose another if you peer networks."
  type        = string
  default     = "10.20.0.0/20"

  validation {
    condition     = can(cidrhost(var.address_space, 0)) && try(tonumber(split("/", var.address_space)[1]) <= 22, false)
    error_message = "address_space is to be an IPv4 range of /22 or larger, for example: 10.20.0.0/20"
  }
}

variable "admin_addresses" {
  description = "Public IPv4 addresses, or ranges of up to /30, from which people reach the vault and the backups. Yours, to begin with: secrets are put into the vault from there."
  type        = list(string)

  validation {
    condition     = length(var.admin_addresses) > 0
    error_message = "admin_addresses is empty, so nobody could put secrets into the vault. Give your own address: curl -4 https://ifconfig.me"
  }
  validation {
    condition     = alltrue([for one in var.admin_addresses : can(regex("^([0-9]{1,3}\\.){3}[0-9]{1,3}(/([0-9]|[12][0-9]|30))?$", one)) && can(cidrhost(length(split("/", one)) == 2 ? one : "${one}/32", 0))])
    error_message = "admin_addresses has what is neither an IPv4 address nor a range of up to /30. Azure takes single addresses without /32, for example: [\"203.0.113.7\", \"198.51.100.0/24\"]"
  }
  validation {
    condition     = alltrue([for one in var.admin_addresses : !can(regex("^(0\\.|10\\.|127\\.|169\\.254\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.)", one))])
    error_message = "admin_addresses has an address that the internet does not know. Give the address by which you are seen from outside: curl -4 https://ifconfig.me"
  }
}

variable "alert_emails" {
  description = "Who is told when Groundcrew falls silent, and when the month gets dear."
  type        = list(string)

  validation {
    condition     = length(var.alert_emails) > 0 && alltrue([for one in var.alert_emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", one))])
    error_message = "alert_emails is to hold one address at least, for example: [\"oncall@example.org\"]"
  }
}

variable "deployed" {
  description = "Whether the app's code has been deployed. false for the first apply; then deploy, set it to true and apply again: events are subscribed, and silence becomes an alarm."
  type        = bool
  default     = false
}

variable "rotated_entries" {
  description = "Names of secrets in the vault that the app may write, because policy.yaml has it rotate them. Empty: it reads only."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.rotated_entries : can(regex("^[A-Za-z0-9-]{1,127}$", name))])
    error_message = "rotated_entries is to have names of secrets of the vault, without the vault's own: letters, digits and hyphens."
  }
}

variable "settings" {
  description = "Plain app settings by name, as docs/settings.md lists them."
  type        = map(string)
  default     = {}
}

variable "vault_settings" {
  description = "The names of the secret settings whose values are in the vault. A reference to a secret that is not there breaks its setting: put the secret there first, then name it here."
  type        = set(string)
  default     = ["MONGODB_URI", "GROUNDCREW_SIGNING_KEY"]
}

variable "schedules" {
  description = "NCRONTAB expressions (six fields, UTC) by timer, where the default does not fit."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for one in values(var.schedules) : length(split(" ", one)) == 6])
    error_message = "schedules has an expression that is not of six fields. NCRONTAB begins with seconds, for example: \"0 0 1 * * *\""
  }
}

variable "sign_in_client_id" {
  description = "The Entra application that people sign in with at /api/wake and /api/deploys. Empty keeps these pages closed."
  type        = string
  default     = ""

  validation {
    condition     = var.sign_in_client_id == "" || can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", lower(var.sign_in_client_id)))
    error_message = "sign_in_client_id is not the id of an application. docs/runbooks/from-nothing-to-running.md makes one."
  }
}

variable "policy_file" {
  description = "The policy. Terraform takes from it what it needs: how long backups are kept, the budget, the machine."
  type        = string
  default     = "../../../policy.yaml"

  validation {
    condition     = fileexists(var.policy_file)
    error_message = "policy_file does not exist. Give the path of policy.yaml from the folder in which you apply."
  }
}

variable "backup_replication" {
  description = "Copies of the backups. GZRS and GRS survive the loss of the region; ZRS and LRS do not."
  type        = string
  default     = "GZRS"

  validation {
    condition     = contains(["LRS", "ZRS", "GRS", "GZRS", "RAGRS", "RAGZRS"], var.backup_replication)
    error_message = "backup_replication is to be one of LRS, ZRS, GRS, GZRS, RAGRS, RAGZRS. Where a region has no zones, take GRS."
  }
}

variable "soft_delete_days" {
  description = "Days for which a deleted backup can be brought back."
  type        = number
  default     = 14

  validation {
    condition     = var.soft_delete_days >= 7 && var.soft_delete_days <= 365 && floor(var.soft_delete_days) == var.soft_delete_days
    error_message = "soft_delete_days is to be 7 to 365: less would not outlast a holiday."
  }
}

variable "lock_backups" {
  description = "FOR EVER. Locks backups for immutability_days: nobody can delete or change them before, and nobody can undo this, neither you nor Microsoft. Set it when backups have been good for some weeks and you know what they cost."
  type        = bool
  default     = false
}

variable "immutability_days" {
  description = "Days for which a locked backup can be neither changed nor deleted. It can be raised five times and never lowered."
  type        = number
  default     = 14

  validation {
    condition     = var.immutability_days >= 1 && var.immutability_days <= 400 && floor(var.immutability_days) == var.immutability_days
    error_message = "immutability_days is to be 1 to 400. Begin with 14: it can be raised, and never lowered."
  }
}

variable "instance_memory_mb" {
  description = "Memory of an instance of the app. Dumping and sealing a part takes about half a gigabyte."
  type        = number
  default     = 2048

  validation {
    condition     = contains([512, 2048, 4096], var.instance_memory_mb)
    error_message = "instance_memory_mb is to be 512, 2048 or 4096: there are no others."
  }
}

variable "maximum_instances" {
  description = "How many instances of the app at most; each may dump a part, and MongoDB has to serve them all."
  type        = number
  default     = 40

  validation {
    condition     = var.maximum_instances >= 1 && var.maximum_instances <= 1000 && floor(var.maximum_instances) == var.maximum_instances
    error_message = "maximum_instances is to be 1 to 1000."
  }
}

variable "log_quota_gb" {
  description = "The most that is logged a day, in GB; what comes after is dropped, and silence is told."
  type        = number
  default     = 1

  validation {
    condition     = var.log_quota_gb >= 0.1 && var.log_quota_gb <= 100
    error_message = "log_quota_gb is to be 0.1 to 100."
  }
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(var.tags) <= 40
    error_message = "tags has more than 40: Azure takes 50, and some are ours."
  }
}
