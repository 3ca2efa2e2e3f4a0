"""What the code says that the Terraform has to agree with, and the only place here that knows where."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.adapters import aks, azure_activity, azure_addresses, azure_disks, azure_rights, azure_vms
from shared.backup.sets import CLASSES
from shared.deploy.webhook.signature import MAX_BODY_BYTES
from shared.policy import parse_policy
from shared.settings.definitions import SETTINGS
from shared.settings.environment import Environment
from shared.settings.timers import SCHEDULES
from shared.wiring import BACKUPS, STATE

__all__ = [
    "BACKUPS",
    "CLASSES",
    "MAX_BODY_BYTES",
    "SCHEDULES",
    "SETTINGS",
    "STATE",
    "Environment",
    "Trigger",
    "aks",
    "azure_activity",
    "azure_addresses",
    "azure_disks",
    "azure_rights",
    "azure_vms",
    "parse_policy",
    "triggers",
]

FUNCTIONS = Path(__file__).resolve().parents[2] / "functions"


@dataclass(frozen=True)
class Trigger:
    """A function and what calls it: `target` is the route, the queue, or nothing."""

    function: str
    kind: str
    target: str


def triggers() -> Iterator[Trigger]:
    """Every function of the app."""
    for path in sorted(FUNCTIONS.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _triggers(node)


def _triggers(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Trigger]:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Attribute):
            given = {word.arg: word.value for word in decorator.keywords}
            target = given.get("route") or given.get("queue_name")
            text = str(target.value) if isinstance(target, ast.Constant) else ""
            yield Trigger(node.name, decorator.func.attr, text)
