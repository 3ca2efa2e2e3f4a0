"""What Helm prints, in our words. Pure.

The texts are those of Helm 4 (https://github.com/helm/helm, pkg/action and pkg/kube) and of client-go.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from shared.deploy.model import Finding
from shared.deploy.ports.releases import Rendering, Revision
from shared.formats.chartyaml import read_manifests
from shared.kernel.errors import Conflict, Corrupt, GroundcrewError, NotFound, Refused, Unavailable
from shared.kernel.timestamps import parse_optional_timestamp

_UNREACHABLE = (
    "cluster unreachable",
    "connection refused",
    "connection reset",
    "no such host",
    "tls handshake timeout",
    "i/o timeout",
    "unexpected eof",
    "the server is currently unable to handle the request",
    "etcdserver:",
    "http2: client connection lost",
    "http2: server sent goaway",
    '": eof',
    "broken pipe",
    "no route to host",
    "network is unreachable",
    # What an API server says that has just begun, or whose webhooks have.
    "unable to return a response in the time allotted",
    "apiserver is shutting down",
    "storage is (re)initializing",
    "no endpoints available for service",
)
_NOT_ALLOWED = ("is forbidden:", "unauthorized", "must be logged in", "provide credentials")
_TIMED_OUT = ("deadline exceeded", "timed out waiting")
# Of Helm's log only these lines are told, made anew from their fields: others might quote anything.
_PROGRESS_TEXTS = {
    "Created resource": "{kind} {name} created",
    "Created a new resource": "{kind} {name} created",
    "Patched resource": "{kind} {name} applied",
    "Deleting resource": "{kind} {name} removed",
    "waiting for resource": "{kind} {name}: {status}",
    "rolling back": "rolling back",
    "performing update": "applying",
    "preparing upgrade": "preparing",
    "waiting for resources": "waiting",
    "creating release": "recording the release",
}
_FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)')
_LINT = re.compile(r"\[(ERROR|WARNING)\]\s+(.*)")


def parse_history(text: str) -> list[Revision]:
    """`helm history -o json`, the oldest first. Raises Corrupt."""
    try:
        entries = json.loads(text or "[]")
        revisions = [_parse_revision(entry) for entry in entries]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Corrupt("Helm's history is not readable", value=type(error).__name__) from error
    # Helm sorts by itself; nothing here is to depend on it.
    return sorted(revisions, key=lambda one: one.number)


def _parse_revision(entry: Mapping[str, Any]) -> Revision:
    return Revision(
        int(entry["revision"]),
        str(entry["status"]),
        str(entry.get("chart", "")),
        str(entry.get("app_version", "")),
        str(entry.get("description", "")),
        parse_optional_timestamp(entry.get("updated")),
    )


def parse_dry_run(text: str) -> Rendering:
    """`helm upgrade --dry-run=server --output json`: the release as Helm would store it. Raises Corrupt."""
    try:
        release = json.loads(text)
        manifests = read_manifests(release["manifest"])
        hooks = [
            manifest
            for hook in release.get("hooks") or ()
            # Tests of a chart run on `helm test` only, which is never called.
            if set(hook.get("events") or ()) - {"test"}
            for manifest in read_manifests(hook["manifest"], "a hook of the chart")
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Corrupt("Helm's dry run is not readable", value=type(error).__name__) from error
    return Rendering(manifests, hooks, stored_bytes(text))


def stored_bytes(release: str) -> int:
    """How large the Secret's value becomes in which Helm stores the release: gzip, then base64.

    https://github.com/helm/helm/blob/main/pkg/storage/driver/util.go (encodeRelease)
    """
    # What counts against etcd's limit of about 1 MiB is this, and not the manifest's length.
    return -(-len(gzip.compress(release.encode(), 9)) // 3) * 4


def parse_lint(text: str) -> list[Finding]:
    """`helm lint`: its errors and warnings with what belongs to them; notes are left out."""
    findings: list[Finding] = []
    open_finding = False
    for line in text.splitlines():
        match = _LINT.match(line)
        if match:
            where, _, message = match[2].partition(": ")
            findings.append(
                Finding("helm-lint", match[1].lower(), where.strip(), 0, message.strip() or where)
            )
            open_finding = True
        elif open_finding and line.startswith("  ") and line.strip():
            last = findings.pop()
            message = f"{last.message} {line.strip()}"
            findings.append(Finding(last.rule, last.severity, last.where, 0, message))
        else:
            open_finding = False
    return findings


def format_progress(line: str) -> str:
    """What to say about a line of Helm's log; empty for most."""
    fields = {key: value.strip('"') for key, value in _FIELD.findall(line)}
    template = _PROGRESS_TEXTS.get(fields.get("msg", ""))
    if template is None:
        return ""
    kind = fields.get("kind") or fields.get("gvk", "").rpartition("Kind=")[2]
    return template.format(kind=kind, name=fields.get("name", ""), status=fields.get("actualStatus", ""))


def failure_reason(errors: str) -> str:
    """Helm's own last error, without its log."""
    lines = [line for line in errors.splitlines() if line.strip() and not line.startswith("level=")]
    # The last one: warnings of plugins and hooks may begin like errors.
    starts = [index for index, line in enumerate(lines) if line.startswith("Error: ")]
    last_error = lines[starts[-1] :] if starts else lines[-5:]
    text = " ".join(" ".join(last_error).removeprefix("Error: ").split())
    # Cut: an error of a template may quote the whole of it.
    return text[:2000] or "Helm failed without a message"


def is_timeout(text: str) -> bool:
    """Whether Helm gave up waiting."""
    return any(one in text.lower() for one in _TIMED_OUT)


def is_template_error(reason: str) -> bool:
    """Whether the chart's own templates failed, whose words may be those of any other failure."""
    return any(text in reason for text in ("execution error at (", "parse error at (", "error calling "))


def classify_failure(errors: str) -> GroundcrewError | None:
    """What to raise if the cluster could not be asked; None if the chart or the release is at fault."""
    text = failure_reason(errors)
    lowered = text.lower()
    # First the cluster, then the right, then the release: Helm's sentence may quote all three, and an outage
    # explains the others.
    if any(one in lowered for one in _UNREACHABLE) or _is_cut_connection(text):
        return Unavailable("the cluster does not answer Helm", value=text[:500], hint="Is the VM up?")
    if any(one in lowered for one in _NOT_ALLOWED):
        hint = "Compare infra/chart/rbac.yaml with what the cluster has"
        return Refused("Helm may not do that", value=text[:500], hint=hint)
    # Helm's word for a release that is pending, whoever left it so.
    if "another operation" in lowered and "in progress" in lowered:
        return Conflict("the release is in the middle of another operation", hint="It is repaired first")
    return None


def _is_cut_connection(text: str) -> bool:
    """Whether the connection was cut as a wait began: Helm ends it there and then, with nothing seen.

    If it has gone back since, or taken a first release away, that is how it ended.
    """
    ended_otherwise = is_timeout(text) or "status: Failed" in text or "rollback-on-failure being set" in text
    return "status: Unknown" in text and not ended_otherwise


def is_release_missing(errors: str) -> bool:
    """Whether there is no such release or revision."""
    text = failure_reason(errors).lower()
    return "release: not found" in text or bool(re.search(r"release has no \d+ version", text))


def revision_not_found(release: str, revision: int) -> NotFound:
    """No such release, or no such revision of it."""
    what = f"{release} revision {revision}" if revision else release
    return NotFound("Helm has no such release", value=what, hint="See groundcrew deploy history")


def newest_revision(history: Sequence[Revision]) -> Revision | None:
    """The last one, if any."""
    return history[-1] if history else None
