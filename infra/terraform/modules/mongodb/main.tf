# A replica set of three in the cluster, by MongoDB's own operator; or nothing, where an Atlas cluster serves.
# docs/adr/0012: why not Cosmos DB or DocumentDB.

locals {
  name    = "rocketchat-mongodb"
  service = "${local.name}-svc" # the operator's name for it
  count   = var.in_cluster ? 1 : 0
  members = [for index in range(3) : "${local.name}-${index}"]
  # High in the subnet, where nodes do not get theirs from.
  addresses = { for index, member in local.members : member => cidrhost(var.subnet_range, -10 - index) }
  # The members call themselves by these names, and a client of a replica set goes where they say.
  domain = "${local.service}.${var.namespace}.svc.cluster.local"
}

resource "helm_release" "operator" {
  count            = local.count
  name             = "mongodb-kubernetes"
  namespace        = var.namespace
  create_namespace = true
  repository       = "https://mongodb.github.io/helm-charts"
  chart            = "mongodb-kubernetes"
  version          = "1.11.1"

  values = [yamlencode({
    operator = { watchedResources = ["mongodbcommunity"] }
  })]
}

resource "helm_release" "replica_set" {
  count     = local.count
  name      = local.name
  namespace = var.namespace
  chart     = "${path.module}/chart"

  values = [yamlencode({
    version          = var.mongodb_version
    storageClassName = var.storage_class
    diskSize         = "${var.disk_gb}Gi"
    functionsRange   = var.functions_range
    members          = [for member in local.members : { name = member, address = local.addresses[member] }]
  })]

  depends_on = [helm_release.operator]
}

# In the cluster, CoreDNS knows the members' names. The Functions app is outside of it, and finds them here.
resource "azurerm_private_dns_zone" "members" {
  count               = local.count
  name                = local.domain
  resource_group_name = var.resource_group
  tags                = var.tags
}

resource "azurerm_private_dns_a_record" "member" {
  for_each            = var.in_cluster ? local.addresses : {}
  name                = each.key
  private_dns_zone_id = azurerm_private_dns_zone.members[0].id
  ttl                 = 300
  records             = [each.value]
  tags                = var.tags
}

resource "azurerm_private_dns_zone_virtual_network_link" "members" {
  count                = local.count
  name                 = "network"
  private_dns_zone_id  = azurerm_private_dns_zone.members[0].id
  virtual_network_id   = var.network_id
  registration_enabled = false
  tags                 = var.tags
}
