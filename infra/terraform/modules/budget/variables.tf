variable "name" {
  description = "What the name of the budget is made of."
  type        = string
}

variable "resource_group_id" {
  description = "The resource group whose cost is counted."
  type        = string
}

variable "amount" {
  description = "Money a month, in the billing account's currency; null for no budget."
  type        = number
}

variable "emails" {
  description = "Who is told."
  type        = list(string)
}
