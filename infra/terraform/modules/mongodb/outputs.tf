output "uri" {
  description = "MONGODB_URI, with the user and the password left to fill in."
  value = (
    var.in_cluster
    ? "mongodb://USER:PASSWORD@${join(",", [for member in local.members : "${member}.${local.domain}:27017"])}/?replicaSet=${local.name}&authSource=admin"
    : "mongodb+srv://USER:PASSWORD@CLUSTER.mongodb.net/?authSource=admin"
  )
}
