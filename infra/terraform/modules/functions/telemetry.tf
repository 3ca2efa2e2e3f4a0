resource "azurerm_log_analytics_workspace" "this" {
  name                         = "log-${var.name}"
  resource_group_name          = var.resource_group
  location                     = var.location
  sku                          = "PerGB2018"
  retention_in_days            = 30
  daily_quota_gb               = var.log_quota_gb
  local_authentication_enabled = false
  tags                         = var.tags
}

resource "azurerm_application_insights" "this" {
  name                         = "appi-${var.name}"
  resource_group_name          = var.resource_group
  location                     = var.location
  application_type             = "web"
  workspace_id                 = azurerm_log_analytics_workspace.this.id
  local_authentication_enabled = false # whoever had the connection string could pretend that all is well
  tags                         = var.tags
}

resource "azurerm_monitor_action_group" "people" {
  name                = "ag-${var.name}"
  resource_group_name = var.resource_group
  short_name          = "groundcrew"
  tags                = var.tags

  dynamic "email_receiver" {
    for_each = var.alert_emails

    content {
      name                    = "email-${email_receiver.key}"
      email_address           = email_receiver.value
      use_common_alert_schema = true
    }
  }
}

# Timers have been seen to die after a deployment while HTTP went on: so it is a timer's success that is counted.
resource "azurerm_monitor_scheduled_query_rules_alert_v2" "silence" {
  name                    = "alert-${var.name}-silence"
  display_name            = "Groundcrew is silent"
  description             = "No successful run of the timer catch_up within an hour. See docs/runbooks/from-nothing-to-running.md, 'Groundcrew is silent'."
  resource_group_name     = var.resource_group
  location                = var.location
  scopes                  = [azurerm_application_insights.this.id]
  severity                = 1
  evaluation_frequency    = "PT15M"
  window_duration         = "PT1H"
  auto_mitigation_enabled = true # else it never resolves
  enabled                 = var.deployed
  tags                    = var.tags

  criteria {
    # By OpenTelemetry the name may carry the kind of trigger too.
    query                   = "requests | where success == true and (name has 'catch_up' or operation_Name has 'catch_up')"
    time_aggregation_method = "Count"
    operator                = "LessThan"
    threshold               = 1

    failing_periods {
      minimum_failing_periods_to_trigger_alert = 1
      number_of_evaluation_periods             = 1
    }
  }

  action {
    action_groups = [azurerm_monitor_action_group.people.id]
  }
}
