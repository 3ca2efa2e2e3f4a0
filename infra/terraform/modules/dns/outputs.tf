output "next" {
  description = "What is left to do for the domain."
  value = (
    var.zone == "" ? "Make an A record for ${var.domain} with ${var.address} where your domain is managed." :
    local.made ? "Delegate ${var.zone} to: ${join(" ", azurerm_dns_zone.this[0].name_servers)}" :
    var.publish ? "Nothing: ${var.domain} points to ${var.address}." :
    "${var.domain} points elsewhere. Set publish_dns = true for the cut-over."
  )
}

output "zone_id" {
  description = "The zone's id; empty if there is none."
  value       = join("", concat(azurerm_dns_zone.this[*].id, data.azurerm_dns_zone.this[*].id))
}
