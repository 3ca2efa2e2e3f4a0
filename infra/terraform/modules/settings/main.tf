# The app settings, by name. tests/infra/test_settings.py holds the lists to the settings that the code reads.

locals {
  # Given in `settings` as they are.
  plain = [
    "AZURE_CLIENT_ID",
    "GROUNDCREW_AGE_RECIPIENTS",
    "GROUNDCREW_CHAT_RELEASES",
    "GROUNDCREW_GITHUB",
    "GROUNDCREW_GITHUB_APP",
    "GROUNDCREW_HELM",
    "GROUNDCREW_POLICY",
    "GROUNDCREW_PRICES",
    "GROUNDCREW_PROBE_USER",
    "GROUNDCREW_RESOURCE_MANAGER",
    "GROUNDCREW_TRUSTED_SIGNERS",
    "GROUNDCREW_ROCKETCHAT_USER",
    "GROUNDCREW_URL",
  ]

  # Kept in the vault; `vault_settings` says which of them are there.
  secret = [
    "DRILL_MONGODB_URI",
    "GROUNDCREW_CALENDAR_KEY",
    "GROUNDCREW_DRILL_KEY",
    "GROUNDCREW_GITHUB_APP_KEY",
    "GROUNDCREW_GITHUB_TOKEN",
    "GROUNDCREW_GITHUB_WEBHOOK_SECRETS",
    "GROUNDCREW_HEARTBEAT_URLS",
    "GROUNDCREW_KUBECONFIG",
    "GROUNDCREW_ALERTMANAGER_URL",
    "GROUNDCREW_ALERTS_TOKEN",
    "GROUNDCREW_METRICS_TOKEN",
    "GROUNDCREW_MONGODB_ADMIN_URI",
    "GROUNDCREW_NOTIFY_URLS",
    "GROUNDCREW_PROBE_TOKEN",
    "GROUNDCREW_RESTORE_TARGETS",
    "GROUNDCREW_ROCKETCHAT_PASSWORD",
    "GROUNDCREW_ROCKETCHAT_TOKENS",
    "GROUNDCREW_ROCKETCHAT_USER_TOKEN",
    "GROUNDCREW_SIGNING_KEY",
    "GROUNDCREW_SLACK_SIGNING_SECRETS",
    "GROUNDCREW_SOPS_AGE_KEY",
    "GROUNDCREW_TEAMS_SECRETS",
    "MONGODB_URI",
  ]

  timers = [
    "catch_up",
    "certificate_scan",
    "cost_report",
    "drift_check",
    "hardening_audit",
    "lockout_calendar",
    "nightly_backup",
    "oplog_capture",
    "power_tick",
    "restore_drill",
    "retention",
    "secrets_rotation",
    "snapshot_cycle",
  ]

  # Known from what is made here.
  made = {
    AZURE_SUBSCRIPTION_ID          = var.subscription_id
    GROUNDCREW_BACKUP_STORAGE      = var.backup_account
    GROUNDCREW_CHAT                = "https://${var.domain}"
    GROUNDCREW_RESOURCE_GROUP      = var.resource_group
    GROUNDCREW_RETENTION_CLIENT_ID = var.retention_client_id
    GROUNDCREW_WAKE_SIGN_IN        = var.sign_in ? "app-service" : ""
  }

  # The platform's own. `AzureWebJobsStorage` itself must be absent: with it, even empty, the host takes the
  # connection string's way, and every trigger is dead.
  platform = {
    APPLICATIONINSIGHTS_AUTHENTICATION_STRING = "Authorization=AAD"
    APPLICATIONINSIGHTS_CONNECTION_STRING     = var.insights_connection_string
    AzureWebJobsStorage__accountName          = var.host_account
    AzureWebJobsStorage__credential           = "managedidentity"
    # Bytes: as much as GitHub sends. Larger bodies are refused by the host, before any of our code runs.
    FUNCTIONS_REQUEST_BODY_SIZE_LIMIT = tostring(25 * 1024 * 1024)
  }

  # A reference without a version follows the newest one; with the slash at its end no old version sticks.
  references = {
    for name in var.vault_settings :
    name => "@Microsoft.KeyVault(SecretUri=${var.vault_uri}secrets/${local.secret_names[name]}/)"
    if contains(local.secret, name)
  }
  secret_names = { for name in local.secret : name => lower(replace(name, "_", "-")) }
  defaults     = { GROUNDCREW_HELM = "/home/site/wwwroot/bin/helm" }
  schedules    = { for timer, expression in var.schedules : "GROUNDCREW_SCHEDULE_${upper(timer)}" => expression }
}

variable "settings" {
  description = "Plain app settings by name."
  type        = map(string)
  default     = {}
}

variable "vault_settings" {
  description = "The names of the secret settings whose values are in the vault."
  type        = set(string)
}

variable "schedules" {
  description = "NCRONTAB expressions by timer."
  type        = map(string)
  default     = {}
}

variable "subscription_id" {
  type        = string
  description = "The subscription of the machines."
}

variable "resource_group" {
  type        = string
  description = "Their resource group."
}

variable "backup_account" {
  type        = string
  description = "The storage account of backups."
}

variable "retention_client_id" {
  type        = string
  description = "By which the app asks for the identity that deletes expired backups."
}

variable "host_account" {
  type        = string
  description = "The host's storage account."
}

variable "domain" {
  type        = string
  description = "The chat's domain."
}

variable "sign_in" {
  type        = bool
  description = "Whether App Service authentication is on."
}

variable "vault_uri" {
  type        = string
  description = "The vault's address, with a slash at its end."
}

variable "insights_connection_string" {
  type        = string
  description = "Where telemetry goes; no secret, since only identities may send."
}

output "app_settings" {
  description = "All app settings; those that are empty are left to the code's defaults."
  value = {
    for name, value in merge(local.defaults, local.made, local.platform, local.schedules, var.settings, local.references) :
    name => value if value != ""
  }

  precondition {
    condition     = length(setsubtract(keys(var.settings), local.plain)) == 0
    error_message = "settings has ${join(", ", setsubtract(keys(var.settings), local.plain))}, which cannot be set there. Secret settings go into the vault and their names into vault_settings; the others that can be set are: ${join(", ", local.plain)}."
  }
  precondition {
    condition     = length(setsubtract(var.vault_settings, local.secret)) == 0
    error_message = "vault_settings has ${join(", ", setsubtract(var.vault_settings, local.secret))}, which is no secret setting. The secret settings are: ${join(", ", local.secret)}."
  }
  precondition {
    condition     = length(setsubtract(keys(var.schedules), local.timers)) == 0
    error_message = "schedules has ${join(", ", setsubtract(keys(var.schedules), local.timers))}, which is no timer. The timers are: ${join(", ", local.timers)}."
  }
}

output "secret_names" {
  description = "The vault's names of the secret settings that are expected there."
  value       = { for name in var.vault_settings : name => local.secret_names[name] if contains(local.secret, name) }
}
