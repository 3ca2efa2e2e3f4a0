# Charts at pinned versions; docs/adr/0012 says why these.

# ingress-nginx was retired in March 2026, and AKS's own NGINX ends with November 2026. This one is F5's: maintained,
# and it reads the Ingress that Rocket.Chat's chart writes.
resource "helm_release" "ingress" {
  name             = "nginx-ingress"
  namespace        = "nginx-ingress"
  create_namespace = true
  repository       = "oci://ghcr.io/nginx/charts"
  chart            = "nginx-ingress"
  version          = "2.7.2"

  values = [yamlencode({
    controller = {
      replicaCount          = 2
      enableCustomResources = false
      ingressClass          = { name = "nginx", create = true, setAsDefaultIngress = true }
      service = {
        externalTrafficPolicy = "Local" # keeps people's addresses in the logs, and for rate limits
        annotations = {
          "service.beta.kubernetes.io/azure-pip-name"                     = azurerm_public_ip.ingress.name
          "service.beta.kubernetes.io/azure-load-balancer-resource-group" = var.resource_group
        }
      }
    }
  })]

  depends_on = [azurerm_role_assignment.admin, azurerm_role_assignment.network]
}

resource "helm_release" "cert_manager" {
  name             = "cert-manager"
  namespace        = "cert-manager"
  create_namespace = true
  repository       = "oci://quay.io/jetstack/charts"
  chart            = "cert-manager"
  version          = "v1.21.2"

  values = [yamlencode({
    crds = { enabled = true, keep = true } # an uninstall does not take the certificates along
  })]

  depends_on = [azurerm_role_assignment.admin]
}

# Records of further hosts (dashboards, say). The chat's own record is Terraform's: a cut-over is a decision.
resource "azurerm_user_assigned_identity" "dns" {
  count               = var.dns_zone == "" ? 0 : 1
  name                = "id-${var.name}-dns"
  resource_group_name = var.resource_group
  location            = var.location
  tags                = var.tags
}

resource "azurerm_role_assignment" "dns" {
  count                = var.dns_zone == "" ? 0 : 1
  scope                = var.dns_zone_id
  role_definition_name = "DNS Zone Contributor"
  principal_id         = azurerm_user_assigned_identity.dns[0].principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_federated_identity_credential" "dns" {
  count                     = var.dns_zone == "" ? 0 : 1
  name                      = "external-dns"
  user_assigned_identity_id = azurerm_user_assigned_identity.dns[0].id
  audience                  = ["api://AzureADTokenExchange"]
  issuer                    = azurerm_kubernetes_cluster.this.oidc_issuer_url
  subject                   = "system:serviceaccount:external-dns:external-dns"
}

resource "helm_release" "external_dns" {
  count            = var.dns_zone == "" ? 0 : 1
  name             = "external-dns"
  namespace        = "external-dns"
  create_namespace = true
  repository       = "https://kubernetes-sigs.github.io/external-dns/"
  chart            = "external-dns"
  version          = "1.23.0"

  values = [yamlencode({
    provider      = { name = "azure" }
    policy        = "upsert-only" # it never removes a record
    domainFilters = [var.dns_zone]
    txtOwnerId    = var.name
    podLabels     = { "azure.workload.identity/use" = "true" }
    serviceAccount = {
      name        = "external-dns"
      annotations = { "azure.workload.identity/client-id" = azurerm_user_assigned_identity.dns[0].client_id }
    }
    secretConfiguration = {
      enabled   = true
      mountPath = "/etc/kubernetes/"
      data = {
        "azure.json" = jsonencode({
          tenantId                     = var.tenant_id
          subscriptionId               = var.subscription_id
          resourceGroup                = var.dns_zone_resource_group
          useWorkloadIdentityExtension = true
        })
      }
    }
  })]

  depends_on = [azurerm_role_assignment.admin, azurerm_role_assignment.dns, azurerm_federated_identity_credential.dns]
}

# The storage class and the snapshot class of MongoDB's volumes.
resource "helm_release" "volumes" {
  name      = "groundcrew-volumes"
  namespace = "kube-system"
  chart     = "${path.module}/chart"

  values = [yamlencode({
    resourceGroup = var.resource_group
    tags          = join(",", [for key, value in var.snapshot_tag : "${key}=${value}"])
  })]

  depends_on = [azurerm_role_assignment.admin, azurerm_role_assignment.disks]
}
