"""Marks a release's revision as failed that was left `pending-*`, in the Secret where Helm keeps it.

Helm has no command for that: a rollback would start the old version, and an uninstall everything but. The
form is Helm's own (pkg/storage/driver: JSON, gzip, base64, in a Secret labelled by name, owner, status).
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from shared.kernel.errors import Conflict, Corrupt, Refused, Unavailable, UsageError
from shared.kernel.secret import Secret

if TYPE_CHECKING:
    from kubernetes.client import CoreV1Api

_MOST_RELEASE_BYTES = 64 << 20
FAILED = "failed"


def mark_failed(kubeconfig: Secret, namespace: str, release: str, revision: int, description: str) -> None:
    """Set status and description of the revision. Raises Conflict if somebody else changed it meanwhile."""
    name = f"sh.helm.release.v1.{release}.v{revision}"
    with _open_core_api(kubeconfig) as core:
        secret = core.read_namespaced_secret(name, namespace)
        old = secret.data["release"]
        secret.data["release"] = rewrite_release(old, FAILED, description)
        secret.metadata.labels = {**(secret.metadata.labels or {}), "status": FAILED}
        # The resource version that was read goes back with it, so that a change in between is refused.
        core.replace_namespaced_secret(name, namespace, secret)


def rewrite_release(data: str, status: str, description: str) -> str:
    """A release as its Secret holds it, with another status and description. Raises Corrupt."""
    try:
        packed = base64.b64decode(base64.b64decode(data))
        content: dict[str, Any] = json.loads(_unzip(packed))
        info: Mapping[str, Any] = content["info"]
        content["info"] = {**info, "status": status, "description": description}
    except (ValueError, KeyError, TypeError, OSError, zlib.error) as error:
        raise Corrupt("Helm's record of the release cannot be read", value=type(error).__name__) from error
    again = gzip.compress(json.dumps(content, separators=(",", ":")).encode(), 9, mtime=0)
    return base64.b64encode(base64.b64encode(again)).decode()


def _unzip(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    data = unpacker.decompress(packed, _MOST_RELEASE_BYTES)
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise ValueError("cut off or too large")
    return data


@contextmanager
def _open_core_api(kubeconfig: Secret) -> Iterator[CoreV1Api]:
    """A client; its exceptions leave as ours."""
    import urllib3
    import yaml
    from kubernetes import client, config

    try:
        settings = client.Configuration()
        loaded = yaml.safe_load(kubeconfig.reveal())
        config.load_kube_config_from_dict(loaded, client_configuration=settings)
        settings.retries = False
    except (config.ConfigException, yaml.YAMLError, TypeError, AttributeError):
        # Not chained: the parser quotes the line, which may hold the token.
        raise UsageError("the kubeconfig cannot be read", hint="Export it anew") from None
    with client.ApiClient(settings) as api:
        try:
            yield client.CoreV1Api(api)
        except client.ApiException as error:
            raise _translate_status(error.status, error.reason) from None
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable("the cluster does not answer", value=type(error).__name__) from error


def _translate_status(status: int, said: str) -> Exception:
    # Not chained: the exception's text has the whole answer in it, and the answer the release's values.
    if status in (404, 409):
        return Conflict("the release was changed meanwhile", value=said)
    if status in (401, 403):
        return Refused(
            "the release's record may not be changed", value=said, hint="See infra/chart/rbac.yaml"
        )
    return Unavailable("the release's record could not be changed", value=f"HTTP {status}")
