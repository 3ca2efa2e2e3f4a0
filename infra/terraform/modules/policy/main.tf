# Reads policy.yaml, so that Terraform and Groundcrew take the same numbers from the same file.

variable "file" {
  description = "The policy file."
  type        = string
}

variable "machine" {
  description = "The name of the machine (VM or AKS cluster) that this root makes."
  type        = string
}

variable "machine_kind" {
  description = "vm or aks."
  type        = string
}

variable "immutability_days" {
  description = "Days for which a blob in the container of backups can be neither changed nor deleted."
  type        = number
}

variable "lock_backups" {
  description = "Whether the immutability policy is made, and locked."
  type        = bool
}

locals {
  policy    = yamldecode(file(var.file))
  power     = try(local.policy.power.machines, [])
  backup    = try(local.policy.backup, {})
  keep      = try(local.backup.keep, {})
  retention = try(local.backup.retention, "lifecycle")
  disks     = split("=", try(local.policy.snapshots.disks, "groundcrew=snapshot"))

  # shared/policy: a bare number counts days, weeks, or months of 31 days; a text is a duration. The defaults are
  # those of the model, for a policy that leaves a key out.
  counted = { daily = 1, weekly = 7, monthly = 31 }
  kept = {
    daily   = tostring(try(local.keep.daily, "14d"))
    weekly  = tostring(try(local.keep.weekly, "8w"))
    monthly = tostring(try(local.keep.monthly, "400d"))
  }
  hours_of = { w = 168, d = 24, h = 1 }
  keep_days = {
    for class, text in local.kept : class => (
      can(regex("^[0-9]+$", text))
      ? tonumber(text) * local.counted[class]
      : floor(sum(concat([0], [for part in regexall("([0-9]+)([wdh])", text) : tonumber(part[0]) * local.hours_of[part[1]]])) / 24)
    )
  }

  machine = try([for one in local.power : one if try(one.name, "") == var.machine][0], null)
  windows = try(local.machine.windows, [])
  # "Mon-Fri 07:00-19:00" as the hours and minutes of its two times; over midnight is allowed.
  clock = [
    for window in local.windows :
    try([for part in regex("([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})$", window) : tonumber(part)], [0, 0, 0, 0])
  ]
  minutes = [for at in local.clock : (1440 + at[2] * 60 + at[3] - at[0] * 60 - at[1]) % 1440]
  # 00:00-24:00 is the whole day, and 0 after the remainder.
  longest = max(0, [for index, minutes in local.minutes : endswith(local.windows[index], "00:00-24:00") ? 1440 : minutes]...)
}

output "keep_days" {
  description = "How many days a set of each class is kept."
  value       = local.keep_days

  precondition {
    condition     = !var.lock_backups || min(values(local.keep_days)...) >= var.immutability_days
    error_message = "backup.keep in ${var.file} keeps a class for ${min(values(local.keep_days)...)} days, but immutability_days is ${var.immutability_days}: what retention wants to delete could not be deleted. Set immutability_days to ${min(values(local.keep_days)...)} or less, or keep longer."
  }
  precondition {
    condition     = !var.lock_backups || local.retention == "self"
    error_message = "backup.retention in ${var.file} is \"${local.retention}\", but lifecycle rules do not delete in a container with an immutability policy, so nothing would ever be deleted. Set backup.retention: self, or lock_backups = false."
  }
}

output "retention" {
  description = "Who deletes expired sets: lifecycle (the storage's rules) or self (the app)."
  value       = local.retention
}

output "snapshot_tag" {
  description = "The tag of the disks that are snapshotted."
  value       = { (local.disks[0]) = try(local.disks[1], "") }

  precondition {
    condition     = length(local.disks) == 2
    error_message = "snapshots.disks in ${var.file} is not key=value. Write for example: disks: groundcrew=snapshot"
  }
}

output "snapshot_check" {
  description = "Whether the app makes disks of snapshots, to look at them."
  value       = try(local.policy.snapshots.check, "never") != "never"
}

output "budget" {
  description = "Money a month, in the billing account's currency; null if the policy has none."
  value       = try(local.policy.cost.budget, null)
}

output "namespace" {
  description = "The namespace of the release."
  value       = try(local.policy.deploy.namespace, "rocketchat")
}

output "machine" {
  description = "The name of the machine, after the policy was seen to know it."
  value       = var.machine

  precondition {
    condition     = local.machine != null
    error_message = "power.machines in ${var.file} has no machine with the name ${var.machine}, so nobody would start or stop it. Add it there with kind: ${var.machine_kind}, or set name to one of: ${join(", ", [for one in local.power : try(one.name, "(by tag)")])}."
  }
  precondition {
    condition     = local.machine == null || try(local.machine.kind, "vm") == var.machine_kind
    error_message = "power.machines in ${var.file} has ${var.machine} as kind: ${try(local.machine.kind, "vm")}. Set kind: ${var.machine_kind}."
  }
  # cert-manager renews while it runs, and only then: it needs some minutes of every week or so.
  precondition {
    condition     = local.machine == null || local.longest >= 60
    error_message = "power.machines in ${var.file} never runs ${var.machine} for an hour, so that cert-manager could not renew its certificates and the site would go dark within 90 days. Give it a window, for example: windows: [Mon 07:00-08:00]"
  }
}
