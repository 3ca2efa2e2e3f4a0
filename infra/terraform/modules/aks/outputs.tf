output "id" {
  description = "The cluster's id."
  value       = azurerm_kubernetes_cluster.this.id
}

output "host" {
  description = "The address of the Kubernetes API."
  value       = azurerm_kubernetes_cluster.this.kube_config[0].host
  sensitive   = true # as the whole of kube_config is to the provider
}

output "ca_certificate" {
  description = "Its certificate authority, in PEM."
  value       = base64decode(azurerm_kubernetes_cluster.this.kube_config[0].cluster_ca_certificate)
  sensitive   = true
}

output "public_address" {
  description = "The address of the chat."
  value       = azurerm_public_ip.ingress.ip_address
}

output "storage_class" {
  description = "The class of MongoDB's volumes, once it is there."
  value       = "groundcrew-mongodb"
  depends_on  = [helm_release.volumes]
}
