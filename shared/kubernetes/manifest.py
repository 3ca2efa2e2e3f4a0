"""A rendered manifest as deploys, gates and checks see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Manifest = Mapping[str, Any]  # one Kubernetes object as YAML or JSON has it
