"""The plan of a deploy: what will be made, changed and removed in the cluster, for people to read.

The same manifests give the same text, whatever order they come in, and secrets are never in it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from shared.kernel.redact import redact
from shared.kubernetes.images import as_mapping
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.objects import (
    Leaf,
    Reference,
    format_value,
    is_secret_leaf,
    object_reference,
    walk_leaves,
)

_SIGNS = {"create": "+", "change": "~", "remove": "-"}
_MOST_TEXT_LINES = 40
_NOT_SHOWN = "(not shown: what was encrypted before is not known)"
# https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#limitations and the API's own
# refusals: "updates to statefulset spec for fields other than ... are forbidden", "field is immutable".
_CHANGEABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
    "revisionHistoryLimit",
)
_IMMUTABLE = {
    "Deployment": ("spec.selector",),
    "Service": ("spec.clusterIP",),
    "Job": ("spec.template", "spec.selector", "spec.completions"),
    "PersistentVolumeClaim": ("spec.accessModes", "spec.storageClassName", "spec.volumeName"),
}


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One value: `before` or `after` is empty where there was or will be none; `lines` for longer texts."""

    path: str
    before: str
    after: str
    lines: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.before:
            return f"+ {self.path}: {self.after}"
        return f"~ {self.path}: {self.before} -> {self.after}" if self.after else f"- {self.path}"


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """What happens to one object: `create`, `change` or `remove`."""

    action: str
    subject: Reference
    fields: tuple[FieldChange, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ManifestDiff:
    """Everything that will change, in a stable order."""

    changes: tuple[ObjectChange, ...]
    unchanged: int

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should look at before it happens."""
        return tuple(f"{change.subject}: {text}" for change in self.changes for text in change.warnings)

    def text(self) -> str:
        """The whole plan; ends with a newline."""
        lines = [line for change in self.changes for line in _change_lines(change)]
        counts = [
            f"{sum(change.action == action for change in self.changes)} to {action}" for action in _SIGNS
        ]
        return "\n".join([*lines, f"{', '.join(counts)}, {self.unchanged} unchanged", ""])


def diff_manifests(
    before: Sequence[Manifest],
    after: Sequence[Manifest],
    *,
    namespace: str = "",
    secrets: Sequence[str] = (),
    hide_old: bool = False,
) -> ManifestDiff:
    """Compare two renderings of a chart; `secrets` are masked wherever else they turn up.

    `hide_old`: what was secret before is not known, so that no value of before is shown.
    """
    old = {object_reference(one, namespace): one for one in before}
    new = {object_reference(one, namespace): one for one in after}
    changes, unchanged = [], 0
    for subject in sorted(old.keys() | new.keys()):
        change = _compare_object(subject, old.get(subject), new.get(subject), secrets)
        if hide_old and change is not None:
            change = replace(change, fields=tuple(_without_old(field) for field in change.fields))
        if change is None:
            unchanged += 1
        else:
            changes.append(change)
    return ManifestDiff(tuple(changes), unchanged)


def _without_old(field: FieldChange) -> FieldChange:
    return replace(field, before=field.before and _NOT_SHOWN, lines=())


def _compare_object(
    subject: Reference, old: Manifest | None, new: Manifest | None, secrets: Sequence[str]
) -> ObjectChange | None:
    if new is None:
        return ObjectChange("remove", subject, (), tuple(_removal_warnings(subject, old or {})))
    if old is None:
        return ObjectChange("create", subject)
    was, will = _leaves_by_path(old), _leaves_by_path(new)
    fields = tuple(
        _compare_field(subject.kind, was.get(path), will.get(path), secrets)
        for path in sorted(was.keys() | will.keys())
        if _leaf_differs(was.get(path), will.get(path))
    )
    if not fields:
        return None
    return ObjectChange("change", subject, fields, tuple(_change_warnings(subject, fields, was, will)))


def _leaves_by_path(manifest: Manifest) -> dict[str, Leaf]:
    # The status is the cluster's, and changes by itself.
    content = {key: value for key, value in manifest.items() if key != "status"}
    return {leaf.path: leaf for leaf in walk_leaves(content)}


def _leaf_differs(old: Leaf | None, new: Leaf | None) -> bool:
    if old is None or new is None:
        return True
    # In Python 1 equals True, in Kubernetes it does not.
    return old.value != new.value or type(old.value) is not type(new.value)


def _compare_field(kind: str, old: Leaf | None, new: Leaf | None, secrets: Sequence[str]) -> FieldChange:
    path = (old or new or Leaf("", "", None)).path
    # If either is one: what became public in the new release was secret in the old.
    secret = any(is_secret_leaf(kind, leaf) for leaf in (old, new) if leaf is not None)
    before = format_value(old.value, secret=secret, secrets=secrets) if old else ""
    after = format_value(new.value, secret=secret, secrets=secrets) if new else ""
    lines = () if secret or not (old and new) else _text_lines(old.value, new.value, secrets)
    return FieldChange(redact(path, secrets), before, after, lines)


def _text_lines(old: object, new: object, secrets: Sequence[str]) -> tuple[str, ...]:
    """The lines that differ in a text of several, as a configuration file in a ConfigMap is."""
    if not (isinstance(old, str) and isinstance(new, str)) or "\n" not in old + new:
        return ()
    # Redacted before it is split: a key of several lines has its form only as a whole.
    before, after = redact(old, secrets).splitlines(), redact(new, secrets).splitlines()
    lines = [
        f"{line[0]} {format_value(line[1:], secret=False, secrets=secrets)[1:-1]}"
        for line in list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:]
        if line[0] in "+-"
    ]
    rest = len(lines) - _MOST_TEXT_LINES
    return tuple(lines[:_MOST_TEXT_LINES]) + ((f"… and {rest} more lines",) if rest > 0 else ())


def _removal_warnings(subject: Reference, old: Manifest) -> Iterator[str]:
    annotations = as_mapping(as_mapping(old.get("metadata")).get("annotations"))
    # Helm leaves it in the cluster: https://helm.sh/docs/howto/charts_tips_and_tricks/
    if annotations.get("helm.sh/resource-policy") == "keep":
        return
    if subject.kind in ("PersistentVolumeClaim", "PersistentVolume"):
        yield "its data is lost with it"
    elif subject.kind == "StatefulSet":
        yield "its pods stop for good; their volumes stay until somebody removes them"
    elif subject.kind == "Secret":
        yield "what reads it will not start again"


def _change_warnings(
    subject: Reference, fields: Sequence[FieldChange], was: Mapping[str, Leaf], will: Mapping[str, Leaf]
) -> Iterator[str]:
    paths = [field.path for field in fields]
    fixed = [path for path in paths if _is_immutable(subject.kind, path)]
    if fixed:
        yield f"cannot be changed in place: {', '.join(fixed)}"
    if any(path.startswith("spec.template.") for path in paths) and subject.kind != "Job":
        yield "its pods are replaced"
    if subject.kind == "Secret" and any(
        path.startswith(("data.", "stringData.")) and was.get(path) and _is_empty(will.get(path))
        for path in was
    ):
        yield "a value becomes empty or goes"


def _is_empty(leaf: Leaf | None) -> bool:
    return leaf is None or leaf.value in ("", None)


def _is_immutable(kind: str, path: str) -> bool:
    if kind == "StatefulSet":
        return path.startswith("spec.") and not path.removeprefix("spec.").startswith(_CHANGEABLE)
    # `startswith` of no prefix is false, of an empty text true: the NUL is in no path.
    return path.startswith(_IMMUTABLE.get(kind, ()) or ("\0",))


def _change_lines(change: ObjectChange) -> Iterator[str]:
    yield f"{_SIGNS[change.action]} {change.action:<6}  {change.subject}"
    yield from (f"    ! {warning}" for warning in change.warnings)
    for field in change.fields:
        if field.lines:
            yield f"    ~ {field.path}:"
            yield from (f"        {line}" for line in field.lines)
        else:
            yield f"    {field}"
