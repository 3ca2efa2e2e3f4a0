"""The cluster's state as one document: objects ready to be applied, Helm's values, files as deployed.

`age -d -i KEY extra-cluster-state… | zstd -d` gives its JSON. It holds Secrets in the clear, so it exists
outside of the encrypted part only in memory, and where somebody restores it; it is never logged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, field
from datetime import datetime
from typing import Any

from shared.formats.extra_parts import UnreadItem
from shared.formats.set_place import CLASSES, SET_ID
from shared.formats.strict_json import require_form, strict_record, strict_validator
from shared.kernel.errors import Corrupt

FORMAT = 1
MAX_BYTES = 64 << 20  # the Secrets and values of a large namespace are a few MiB

# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
OBJECT_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:_-]{0,251}[A-Za-z0-9])?", re.ASCII)
_API_VERSION = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?v[a-z0-9]{1,30}", re.ASCII)
_KIND = re.compile(r"[A-Z][A-Za-z0-9]{0,62}", re.ASCII)
_SET = re.compile(rf"({'|'.join(CLASSES)})/{SET_ID.pattern}", re.ASCII)
_CHART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,250}", re.ASCII)

Json = dict[str, Any]


@strict_record
class HelmRelease:
    """A Helm release: which chart in which version, and the values it was given."""

    name: str
    namespace: str
    revision: int
    status: str  # `deployed`, or what else the newest revision is
    chart: str
    version: str  # of the chart
    app_version: str
    values: Json = field(repr=False)  # as given, passwords among them

    def __post_init__(self) -> None:
        require_form(NAMESPACE, name=self.name, namespace=self.namespace)
        require_form(_CHART, chart=self.chart, version=self.version)


@strict_record
class RepositoryFile:
    """A file of the chart's repository at the commit that is deployed; encrypted if it is so there."""

    repository: str  # owner/name
    commit: str
    path: str
    text: str = field(repr=False)


@strict_record
class ClusterState:
    """What was read of the cluster, and what could not be read.

    - `set`: class/id of the backup set that it belongs to.
    - `objects`: Kubernetes objects without what the server adds, in the order in which they are applied.
    - `unread`: what should be here; nothing is known of it.
    """

    format: int
    set: str
    taken: datetime  # UTC
    kubernetes: str  # the API server's version; empty if it did not answer
    objects: tuple[Json, ...] = field(repr=False)
    releases: tuple[HelmRelease, ...]
    files: tuple[RepositoryFile, ...]
    unread: tuple[UnreadItem, ...]

    def __post_init__(self) -> None:
        require_form(_SET, set=self.set)
        for item in self.objects:
            check_object(item)

    @property
    def contents(self) -> tuple[str, ...]:
        """What is inside, by name, as the manifest lists it: no value is among it."""
        releases = (f"Helm release {r.namespace}/{r.name} {r.chart}-{r.version}" for r in self.releases)
        files = (f"File {f.path} at {f.commit[:12]}" for f in self.files)
        return (*map(describe_object, self.objects), *releases, *files)


def describe_object(item: Json) -> str:
    """`Secret rocketchat/smtp`, or `ClusterIssuer production`."""
    meta = item["metadata"]
    place = f"{meta['namespace']}/" if meta.get("namespace") else ""
    return f"{item['kind']} {place}{meta['name']}"


def encode_state(state: ClusterState) -> bytes:
    """Its canonical JSON; keys of objects and values stay what they are, whatever they are called."""
    return json.dumps(asdict(state), sort_keys=True, separators=(",", ":"), default=_format_iso).encode()


def decode_state(data: bytes, *, name: str) -> ClusterState:
    """Raises Corrupt naming the blob and the first bad field, and none of its values."""
    from pydantic_core import ValidationError

    if len(data) > MAX_BYTES:
        raise Corrupt(f"{name} is too large for a cluster's state", value=f"more than {MAX_BYTES} bytes")
    try:
        fields = json.loads(data)
        if not isinstance(fields, dict) or fields.get("format") != FORMAT:
            raise Corrupt(f"{name} is no cluster state of format {FORMAT}")
        parsed: ClusterState = strict_validator(ClusterState).validate_json(data, strict=True)
        return parsed
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
        # Not chained: the library's error quotes the value, which may be a Secret's.
        raise Corrupt(f"{name} is malformed", value=place or "the document") from None
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"{name} is not JSON", value=type(error).__name__) from None


def check_object(item: Mapping[str, Any]) -> None:
    """Raises ValueError for what cannot be applied, or whose name would lead elsewhere."""
    meta = item.get("metadata")
    if not isinstance(meta, dict):
        raise ValueError("an object has no metadata")  # noqa: TRY004 - pydantic takes ValueError
    require_form(_API_VERSION, apiVersion=str(item.get("apiVersion")))
    require_form(_KIND, kind=str(item.get("kind")))
    require_form(OBJECT_NAME, name=str(meta.get("name")))
    if meta.get("namespace") is not None:
        require_form(NAMESPACE, namespace=str(meta["namespace"]))


def _format_iso(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)
