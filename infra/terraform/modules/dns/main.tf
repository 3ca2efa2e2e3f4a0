# The chat's A record, in a zone that is made here or was there before.

locals {
  made = var.zone != "" && var.zone_resource_group == ""
  zone = local.made ? azurerm_dns_zone.this[0].name : var.zone
  # "chat.example.org" in the zone "example.org" is "chat"; the zone itself is "@".
  record = var.domain == var.zone ? "@" : trimsuffix(var.domain, ".${var.zone}")
}

resource "azurerm_dns_zone" "this" {
  count               = local.made ? 1 : 0
  name                = var.zone
  resource_group_name = var.resource_group
  tags                = var.tags
}

data "azurerm_dns_zone" "this" {
  count               = var.zone != "" && !local.made ? 1 : 0
  name                = var.zone
  resource_group_name = var.zone_resource_group
}

resource "azurerm_dns_a_record" "chat" {
  count               = var.zone != "" && var.publish ? 1 : 0
  name                = local.record
  zone_name           = local.zone
  resource_group_name = local.made ? var.resource_group : var.zone_resource_group
  ttl                 = 300 # a cut-over waits no longer than this
  records             = [var.address]
  tags                = var.tags
}
