variable "vm_size" {
  description = "The machine's size. With d in its name it has a temporary disk, and with s it takes Premium SSDs."
  type        = string
  default     = "Standard_D4ads_v5"

  validation {
    condition     = can(regex("^Standard_[A-Z]+[0-9]+(-[0-9]+)?[a-z]*s[a-z]*(_v[0-9]+)?$", var.vm_size))
    error_message = "vm_size is not a size that takes Premium SSDs, for example: Standard_D4ads_v5. List them with: az vm list-sizes --location REGION"
  }
}

variable "vm_zone" {
  description = "The availability zone of the machine and its disk."
  type        = string
  default     = "1"

  validation {
    condition     = contains(["1", "2", "3"], var.vm_zone)
    error_message = "vm_zone is to be 1, 2 or 3."
  }
}

variable "os_disk_gb" {
  description = "The system disk, in GiB."
  type        = number
  default     = 64

  validation {
    condition     = var.os_disk_gb >= 30 && var.os_disk_gb <= 1024
    error_message = "os_disk_gb is to be 30 to 1024: Ubuntu's image wants 30."
  }
}

variable "data_disk_gb" {
  description = "The data disk, in GiB. It can grow and never shrink."
  type        = number
  default     = 128

  validation {
    condition     = var.data_disk_gb >= 32 && var.data_disk_gb <= 4096
    error_message = "data_disk_gb is to be 32 to 4096. A Premium SSD is billed by steps: 64, 128, 256, 512, 1024."
  }
}

variable "ssh_public_key" {
  description = "The administrator's public key. No port is open for it: reach the machine by `az vm run-command`, the serial console or a Bastion."
  type        = string

  validation {
    # As the provider reads it: a key that was cut off would be refused only by the plan. RSA of 2048 bits has 372 letters.
    condition     = can(regex("^(ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43}|ssh-rsa AAAAB3NzaC1yc2EA[A-Za-z0-9+/]{350,}=*)( .*)?$", trimspace(var.ssh_public_key)))
    error_message = "ssh_public_key is to be the whole content of a .pub file, which begins with ssh-ed25519 or ssh-rsa. Make one with: ssh-keygen -t ed25519"
  }
}

variable "admin_username" {
  description = "The administrator's name on the machine."
  type        = string
  default     = "azureuser"

  validation {
    condition     = can(regex("^[a-z_][a-z0-9_-]{0,31}$", var.admin_username)) && !contains(["root", "admin", "administrator"], var.admin_username)
    error_message = "admin_username is not a name that Azure takes, for example: azureuser"
  }
}

variable "encryption_at_host" {
  description = "Whether caches and the temporary disk are encrypted too. The subscription needs it first: az feature register --namespace Microsoft.Compute --name EncryptionAtHost"
  type        = bool
  default     = false
}

variable "cloud_init_file" {
  description = "What the machine runs at its first start."
  type        = string
  default     = "../../bootstrap/cloud-init.yaml"

  validation {
    condition     = fileexists(var.cloud_init_file)
    error_message = "cloud_init_file does not exist. Give the path of infra/bootstrap/cloud-init.yaml from the folder in which you apply."
  }
  # The script carries the addresses that this network gives.
  validation {
    condition = !fileexists(var.cloud_init_file) || !strcontains(try(file(var.cloud_init_file), ""), "PRIVATE_ADDRESS=") || (
      strcontains(try(file(var.cloud_init_file), ""), "PRIVATE_ADDRESS=${cidrhost(cidrsubnet(var.address_space, 2, 0), 10)}\n") &&
      strcontains(try(file(var.cloud_init_file), ""), "FUNCTIONS_RANGE=${cidrsubnet(var.address_space, 4, 8)}\n")
    )
    error_message = "cloud_init_file has other addresses than address_space gives. In infra/bootstrap/bootstrap.env set PRIVATE_ADDRESS=${cidrhost(cidrsubnet(var.address_space, 2, 0), 10)} and FUNCTIONS_RANGE=${cidrsubnet(var.address_space, 4, 8)}, then run: python -m infra.bootstrap.render"
  }
}
