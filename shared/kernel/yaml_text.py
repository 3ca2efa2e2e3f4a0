"""YAML as plain data, by libyaml where PyYAML has it: the parser in Python takes ten times the CPU."""

from __future__ import annotations

from typing import Any


def load_yaml(text: str) -> Any:
    """The one document of a text, of plain types only. Raises `yaml.YAMLError`. Imports PyYAML."""
    import yaml

    loader: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    return yaml.load(text, Loader=loader)  # noqa: S506 - both are the safe ones
