"""Marks a release's revision as failed that was left `pending-*`, in the Secret where Helm keeps it.

Helm has no command for that: a rollback would start the old version, and an uninstall everything but. The
form is Helm's own (see `formats.helm_release`).
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager

from shared.formats.helm_release import unpack_release
from shared.kernel.errors import Conflict, Corrupt, NotFound, Refused, Unavailable, UsageError
from shared.kernel.secret import Secret
from shared.kubernetes.api import connect_api, quoted

FAILED = "failed"


def mark_failed(kubeconfig: Secret, namespace: str, release: str, revision: int, description: str) -> None:
    """Set status and description of the revision. Raises Conflict if somebody else changed it meanwhile."""
    name = quoted(f"sh.helm.release.v1.{release}.v{revision}")
    path = f"/api/v1/namespaces/{quoted(namespace)}/secrets/{name}"
    api = connect_api(kubeconfig)
    with _told_of_the_release():
        secret = dict(api.get(path))
        data, meta = dict(secret.get("data") or {}), dict(secret.get("metadata") or {})
        data["release"] = rewrite_release(str(data.get("release", "")), FAILED, description)
        meta["labels"] = {**(meta.get("labels") or {}), "status": FAILED}
        # The resource version that was read goes back with it, so that a change in between is refused.
        api.put(path, {**secret, "data": data, "metadata": meta})


def rewrite_release(data: str, status: str, description: str) -> str:
    """A release as its Secret holds it, with another status and description. Raises Corrupt."""
    content = unpack_release(data)
    info = content.get("info")
    if not isinstance(info, dict):
        raise Corrupt("Helm's record of the release cannot be read", value="it has no info")
    content["info"] = {**info, "status": status, "description": description}
    # Without a time, so that marking twice writes the same bytes.
    again = gzip.compress(json.dumps(content, separators=(",", ":")).encode(), 9, mtime=0)
    return base64.b64encode(base64.b64encode(again)).decode()


@contextmanager
def _told_of_the_release() -> Iterator[None]:
    """The cluster's refusals, told as what they mean for the record."""
    try:
        yield
    except (NotFound, Conflict) as error:
        raise Conflict("the release was changed meanwhile", value=error.value) from error
    except Refused as error:
        hint = "See infra/chart/rbac.yaml"
        raise Refused("the release's record may not be changed", value=error.value, hint=hint) from error
    except UsageError as error:
        raise Unavailable("the release's record could not be changed", value=error.value) from error
