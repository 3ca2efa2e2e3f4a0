output "functions" {
  description = "The functions that are called by events now."
  value       = keys(azurerm_eventgrid_system_topic_event_subscription.functions)
}
