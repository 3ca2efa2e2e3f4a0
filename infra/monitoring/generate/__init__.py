"""Writes infra/monitoring/generated/ from policy.yaml, monitoring.yaml and rules/."""
