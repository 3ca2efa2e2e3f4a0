"""Which resource an object's kind is, and what one may do with it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServedResource:
    """How the API serves a kind: `name` is the plural in its paths, `group` is empty for the core API."""

    group: str
    name: str
    namespaced: bool


@dataclass(frozen=True, slots=True, order=True)
class AccessRight:
    """One verb on one resource. `namespace` is empty for what is in none."""

    group: str
    resource: str
    verb: str
    namespace: str = ""
