"""A stand-in for Azure Resource Manager (compute, disks, AKS power) and for the Retail Prices API."""

from local.azure_rm.clock import RunningClock
from local.azure_rm.server import AzureServer

__all__ = ["AzureServer", "RunningClock"]
