# Tells people when the month gets dearer than policy.yaml's `cost.budget`. It stops nothing.

resource "azurerm_consumption_budget_resource_group" "this" {
  count             = var.amount == null ? 0 : 1
  name              = "budget-${var.name}"
  resource_group_id = var.resource_group_id
  amount            = var.amount == null ? 1 : var.amount
  time_grain        = "Monthly"

  time_period {
    # Azure takes the first of a month only, and none that is long past.
    start_date = formatdate("YYYY-MM-01'T'00:00:00Z", plantimestamp())
  }

  notification {
    operator       = "GreaterThan"
    threshold      = 80
    threshold_type = "Actual"
    contact_emails = var.emails
  }

  notification {
    operator       = "GreaterThan"
    threshold      = 100
    threshold_type = "Forecasted"
    contact_emails = var.emails
  }

  lifecycle {
    ignore_changes = [time_period] # or each month would make it anew
  }
}
