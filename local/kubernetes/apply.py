"""Server-side apply: merging by schema, ownership of fields, conflicts.

https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local.kubernetes import fields as f
from local.kubernetes.errors import Object, apply_conflict
from local.kubernetes.schema import Shape


@dataclass(frozen=True, slots=True)
class Manager:
    """Who wrote: two writers with the same name, operation, version and subresource are one."""

    name: str
    operation: str  # Apply or Update
    api_version: str
    subresource: str = ""

    def describe_owner(self) -> str:
        """As conflicts name it."""
        if self.operation == "Apply":
            return f'"{self.name}"'
        by = f'"{self.name}"' + (f' with subresource "{self.subresource}"' if self.subresource else "")
        return f"{by} using {self.api_version}"


Owners = dict[Manager, f.Fields]


def owners_of(item: Object) -> Owners:
    """Who owns what, from `metadata.managedFields`."""
    owners: Owners = {}
    # An entry without a name is how a client says that nobody owns anything.
    for entry in filter(None, item["metadata"].get("managedFields") or ()):
        manager = Manager(
            entry["manager"], entry["operation"], entry["apiVersion"], entry.get("subresource", "")
        )
        owners[manager] = frozenset(f.from_v1(entry.get("fieldsV1") or {}))
    return owners


def record_owners(item: Object, owners: Owners, before: Object | None, now: str) -> None:
    """Write `metadata.managedFields`; an entry keeps its time as long as its fields are the same."""
    times = {}
    if before is not None:
        known = owners_of(before)
        for entry, (manager, owned) in zip(
            before["metadata"].get("managedFields") or (), known.items(), strict=True
        ):
            if owners.get(manager) == owned:
                times[manager] = entry.get("time", "")
    entries = [
        _manager_entry(manager, owned, times.get(manager, now)) for manager, owned in owners.items() if owned
    ]
    item["metadata"]["managedFields"] = sorted(
        entries, key=lambda entry: (entry["operation"], entry.get("time", ""), entry["manager"])
    )


def _manager_entry(manager: Manager, owned: f.Fields, time: str) -> Object:
    entry: Object = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": manager.api_version,
        # Who scales by the subresource is written down without a time: a real API server does so.
        **({} if manager.subresource == "scale" else {"time": time}),
        "fieldsType": "FieldsV1",
        "fieldsV1": f.to_v1(owned),
    }
    return entry | ({"subresource": manager.subresource} if manager.subresource else {})


def merge_config(live: Any, config: Any, shape: Shape) -> Any:
    """`live` with everything that `config` says, item by item where the schema says that lists are maps."""
    if isinstance(live, dict) and isinstance(config, dict) and not shape.atomic_map:
        merged = dict(live)
        for name, value in config.items():
            merged[name] = merge_config(live.get(name), value, shape.field(name))
        return merged
    if isinstance(live, list) and isinstance(config, list) and shape.list_type in ("map", "set"):
        return _merge_lists(live, config, shape)
    return config


def _merge_lists(live: list[Any], config: list[Any], shape: Shape) -> list[Any]:
    """Items of `config` in its order; those that only `live` has stay behind what preceded them."""
    live_items = {f.item_part(item, shape): item for item in live}
    config_items = {f.item_part(item, shape): item for item in config}
    merged: list[Any] = []
    waiting = list(live_items)

    def take_others() -> None:
        while waiting and waiting[0] not in config_items:
            merged.append(live_items[waiting.pop(0)])

    take_others()
    for part, item in config_items.items():
        merged.append(merge_config(live_items.get(part), item, shape.items))
        if part in waiting:
            at = waiting.index(part)
            merged += [live_items[other] for other in waiting[:at] if other not in config_items]
            waiting = [other for other in waiting[:at] if other in config_items] + waiting[at + 1 :]
            take_others()
    return merged + [live_items[part] for part in waiting if part not in config_items]


def drop_members(value: Any, shape: Shape, gone: Callable[[f.Path], bool], path: f.Path = ()) -> Any:
    """The value without the members for which `gone` holds."""
    parts = f.owned_children(value, shape)
    if parts is None:
        return value
    if isinstance(value, dict):
        return {
            part[2:]: drop_members(child, below, gone, (*path, part))
            for part, child, below in parts
            if not gone((*path, part))
        }
    return [
        drop_members(child, below, gone, (*path, part))
        for part, child, below in parts
        if not gone((*path, part))
    ]


def apply_config(
    live: Object, config: Object, shape: Shape, manager: Manager, *, force: bool = False
) -> tuple[Object, Owners]:
    """The object after an apply, without its managedFields, and who owns what then.

    Raises `ApiError` 409 naming every field that would change and that another manager owns.
    """
    owners = owners_of(live)
    base = _without_managed_fields(live)
    previous = owners.get(manager, frozenset())
    applied = f.fields_of(config, shape)
    merged = merge_config(base, config, shape)
    others = frozenset(path for other, owned in owners.items() if other != manager for path in owned)
    # What this manager applied before and leaves out now goes, unless somebody else has it too.
    dropped = f.with_parents(previous) - f.with_parents(applied) - f.with_parents(others) - f.NEVER_OWNED
    merged = drop_members(merged, shape, lambda path: path in dropped)
    touched, removed = f.changed_fields(base, merged, shape)
    conflicts = [
        (other.describe_owner(), f.format_path(path))
        for other, owned in owners.items()
        if other != manager
        for path in sorted(owned & touched)
    ]
    if conflicts and not force:
        raise apply_conflict(conflicts)
    left = {o: owned - touched - removed for o, owned in owners.items() if o != manager}
    return merged, {o: owned for o, owned in left.items() if owned} | {manager: applied}


def update_owners(before: Object, after: Object, shape: Shape, manager: Manager) -> Owners:
    """Who owns what after an update or another patch: whoever changes a field takes it from all others.

    Managers that are sent along count, as when Helm makes its old updates an apply; none is as if not sent.
    https://kubernetes.io/docs/reference/using-api/server-side-apply/#clearing-managedfields
    """
    owners = owners_of(after if after["metadata"].get("managedFields") else before)
    touched, removed = f.changed_fields(
        _without_managed_fields(before), _without_managed_fields(after), shape
    )
    own = (owners.get(manager, frozenset()) | touched) - removed
    others = {o: owned - touched - removed for o, owned in owners.items() if o != manager}
    owners_left = {o: owned for o, owned in others.items() if owned}
    return owners_left | ({manager: own} if own else {})


def _without_managed_fields(item: Object) -> Object:
    meta = {name: value for name, value in item.get("metadata", {}).items() if name != "managedFields"}
    return {**item, "metadata": meta}


def is_same_content(one: Object, other: Object) -> bool:
    """Equal but for the revision and the times of managedFields: nothing worth a new revision."""
    return _comparable_text(one) == _comparable_text(other)


def _comparable_text(item: Object) -> str:
    meta = {name: value for name, value in item["metadata"].items() if name != "resourceVersion"}
    entries = meta.get("managedFields") or ()
    meta["managedFields"] = [{k: v for k, v in entry.items() if k != "time"} for entry in entries]
    meta["managedFields"].sort(key=lambda entry: json.dumps(entry, sort_keys=True))
    return json.dumps({**item, "metadata": meta}, sort_keys=True)
