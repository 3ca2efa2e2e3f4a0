"""Helm behind `Releases`: the real binary, run with files that only we can read and that do not stay."""

from shared.adapters.helm.releases import HelmReleases, connect

__all__ = ["HelmReleases", "connect"]
