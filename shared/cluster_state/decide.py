"""What of the cluster's objects is kept, in which form and order. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from shared.cluster_state.model import CERTIFICATE, KINDS, NAMESPACE, SECRET, StateKind
from shared.formats.cluster_state import ClusterState, HelmRelease, describe_object
from shared.formats.helm_release import is_release, unpack_release
from shared.kernel.errors import Corrupt
from shared.kubernetes.manifest import Manifest

TLS_TYPE = "kubernetes.io/tls"
# Made by the cluster for itself: a restored one would be refused, or would let somebody in.
_OWN_TYPES = ("kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token")
# `kubectl apply` keeps the object of before in it, a Secret's data among that.
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# Of a Certificate that is just being issued: https://cert-manager.io/docs/reference/annotations/
_NEXT_KEY = "cert-manager.io/next-private-key"
_ORDER = {kind.kind: place for place, kind in enumerate(KINDS)}


def is_kept(item: Manifest) -> bool:
    """Whether an object is taken along at all, whoever asks for it."""
    meta = item.get("metadata") or {}
    if item.get("kind") == SECRET.kind:
        own = item.get("type") in _OWN_TYPES or is_release(item)
        return not own and (meta.get("labels") or {}).get(_NEXT_KEY) != "true"
    if item.get("kind") == CERTIFICATE.kind:
        # cert-manager makes them anew from the Ingress or Gateway that asks for them.
        return not any(
            owner.get("kind") in ("Ingress", "Gateway") for owner in meta.get("ownerReferences") or ()
        )
    return True


def strip_server_fields(item: Manifest) -> dict[str, Any]:
    """The object as one would write it: of its metadata only name, namespace, labels and annotations.

    The rest is the server's: a uid or resourceVersion makes an apply fail, a stale owner gets the object
    garbage-collected, and a finalizer whose controller is not there makes it undeletable.
    """
    meta = item.get("metadata") or {}
    labels = dict(meta.get("labels") or {})
    notes = {key: value for key, value in (meta.get("annotations") or {}).items() if key != _LAST_APPLIED}
    if item.get("kind") == NAMESPACE.kind:
        labels.pop("kubernetes.io/metadata.name", None)  # the server sets it
    stripped = {"name": meta.get("name")}
    stripped |= {"namespace": meta["namespace"]} if meta.get("namespace") else {}
    stripped |= {"labels": labels} if labels else {}
    stripped |= {"annotations": notes} if notes else {}
    head = {"apiVersion": item.get("apiVersion"), "kind": item.get("kind"), "metadata": stripped}
    # A namespace's spec is its finalizers, and nothing else.
    dropped = ("status", *head, *(("spec",) if item.get("kind") == NAMESPACE.kind else ()))
    return {**head, **{key: value for key, value in item.items() if key not in dropped}}


def order_objects(items: Iterable[Manifest]) -> tuple[dict[str, Any], ...]:
    """Stripped, each once, in the order in which they are applied."""
    # Issuers and policy may name the same Secret: twice in a file, the second apply would be a change to
    # nothing.
    unique = {_identity(item): item for item in items}
    return tuple(strip_server_fields(unique[key]) for key in sorted(unique))


def _identity(item: Manifest) -> tuple[int, str, str, str]:
    meta = item["metadata"]
    kind = str(item["kind"])
    return _ORDER.get(kind, len(_ORDER)), kind, str(meta.get("namespace") or ""), str(meta["name"])


def find_issuer_secrets(issuer: Manifest) -> list[str]:
    """The names of the Secrets that an issuer reads: its ACME account, the keys of solvers, a CA.

    They go by `…SecretRef: {name: …}`, and by `ca: {secretName: …}`:
    https://cert-manager.io/docs/reference/api-docs/#cert-manager.io/v1.IssuerConfig
    """
    spec = issuer.get("spec") or {}
    names = set(_walk_references(spec))
    if name := (spec.get("ca") or {}).get("secretName"):
        names.add(str(name))
    return sorted(names)


def _walk_references(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if str(key).endswith("SecretRef") and isinstance(inner, Mapping) and inner.get("name"):
                yield str(inner["name"])
            else:
                yield from _walk_references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk_references(inner)


def choose_releases(secrets: Iterable[Manifest]) -> list[Manifest]:
    """Of each Helm release the record that counts: the newest that is deployed, else the newest."""
    newest: dict[str, tuple[tuple[bool, int], Manifest]] = {}
    for secret in secrets:
        labels = (secret.get("metadata") or {}).get("labels") or {}
        name, version = str(labels.get("name") or ""), str(labels.get("version") or "")
        # Labels can be set by anybody: what has none of Helm's is no release of Helm's.
        if not is_release(secret) or not name or not version.isdigit():
            continue
        # Deployed before new: after a failed upgrade the newest record is of what does not run.
        rank = labels.get("status") == "deployed", int(version)
        if name not in newest or newest[name][0] < rank:
            newest[name] = rank, secret
    return [newest[name][1] for name in sorted(newest)]


def parse_release(secret: Manifest) -> HelmRelease:
    """Helm's record as we keep it. Raises Corrupt, which quotes nothing of it."""
    content = unpack_release(str((secret.get("data") or {}).get("release") or ""))
    try:
        head = content["chart"]["metadata"]
        return HelmRelease(
            name=str(content["name"]),
            namespace=str(content.get("namespace") or secret["metadata"]["namespace"]),
            revision=int(content["version"]),
            status=str(content["info"]["status"]),
            chart=str(head["name"]),
            version=str(head["version"]),
            app_version=str(head.get("appVersion") or ""),
            values=dict(content.get("config") or {}),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Corrupt("Helm's record of the release is malformed", value=type(error).__name__) from None


def find_missing(patterns: Sequence[str], names: Iterable[str]) -> list[str]:
    """The Secrets that policy names and nobody has; a pattern that matches none is no miss."""
    present = set(names)
    return [one for one in patterns if not _is_pattern(one) and one not in present]


def _is_pattern(text: str) -> bool:
    return any(character in text for character in "*?[")


def find_kind(item: Manifest) -> StateKind | None:
    """How the API serves the object; None for a kind that this version does not know."""
    # By version and kind together: another version of a kind is another form.
    same = (kind for kind in KINDS if (kind.api_version, kind.kind) == (item["apiVersion"], item["kind"]))
    return next(same, None)


def compare_states(backup: ClusterState, live: ClusterState) -> str:
    """How the cluster differs from its backup, by name and without a value.

    What could not be read now is not called missing: only what the cluster shows counts.
    """
    backed_up, now = _index_state(backup), _index_state(live)
    changed = sorted(name for name in backed_up.keys() & now.keys() if backed_up[name] != now[name])
    absent, added = sorted(backed_up.keys() - now.keys()), sorted(now.keys() - backed_up.keys())
    lines = [f"{len(backed_up.keys() & now.keys()) - len(changed)} as in the cluster"]
    lines += [f"{len(changed)} changed since ({_some(changed)})"] if changed else []
    lines += [f"{len(added)} new since ({_some(added)})"] if added else []
    if absent and live.unread:
        lines.append(f"{len(absent)} not seen, since {live.unread[0].what} could not be read")
    elif absent:
        lines.append(f"{len(absent)} not in the cluster any more ({_some(absent)})")
    return ", ".join(lines)


def _index_state(state: ClusterState) -> dict[str, object]:
    objects: dict[str, object] = {describe_object(item): item for item in state.objects}
    # A release by its chart and values: its revision counts up with each deploy.
    return objects | {
        f"Helm release {one.namespace}/{one.name}": (one.chart, one.version, one.values)
        for one in state.releases
    }


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
