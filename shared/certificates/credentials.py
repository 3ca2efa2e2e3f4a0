"""What in a kubeconfig ends (CA, client certificate, token), and where the API server is.

The token's times are read, not verified: https://www.rfc-editor.org/rfc/rfc7519#section-4.1
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from shared.certificates.model import ExpiringItem, HostTarget, SourceKind
from shared.certificates.ports import ClusterCredentials
from shared.formats.x509 import parse_pem_certificates
from shared.kernel.errors import Corrupt
from shared.kernel.secret import Secret
from shared.kernel.timestamps import from_unix_seconds
from shared.kernel.yaml_text import load_yaml

Json = Mapping[str, Any]
API_SERVER = "Kubernetes API"


def parse_credentials(kubeconfig: Secret) -> ClusterCredentials:
    """What the current context signs in with. Raises Corrupt, quoting nothing of it."""
    import yaml

    try:
        loaded = load_yaml(kubeconfig.reveal())
        contexts = _by_name(loaded, "contexts", "context")
        # What `microk8s config` writes has one context, and people cut the current one out.
        context = contexts[loaded.get("current-context") or next(iter(contexts))]
        cluster = _by_name(loaded, "clusters", "cluster")[context["cluster"]]
        user = _by_name(loaded, "users", "user")[context["user"]]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, StopIteration):
        raise Corrupt("the kubeconfig cannot be read") from None
    items = (
        *_certificate(cluster, "certificate-authority-data", "CA of the cluster"),
        *_certificate(user, "client-certificate-data", "client certificate"),
        *_token(user),
    )
    return ClusterCredentials(items, _server(cluster))


def _by_name(loaded: Json, plural: str, kind: str) -> dict[str, Json]:
    return {str(one["name"]): one[kind] for one in loaded[plural]}


def _certificate(holder: Json, key: str, name: str) -> Iterator[ExpiringItem]:
    """The one that ends last: a bundle holds an old and a new CA while one replaces the other."""
    if not holder.get(key):
        return
    try:
        certificates = parse_pem_certificates(base64.b64decode(str(holder[key]), validate=True), name)
    except (Corrupt, binascii.Error, ValueError):
        yield ExpiringItem(SourceKind.KUBECONFIG, name, None, None, "cannot be read")
        return
    newest = max(certificates, key=lambda one: one.not_after)
    yield ExpiringItem(SourceKind.KUBECONFIG, name, newest.not_before, newest.not_after)


def _token(user: Json) -> Iterator[ExpiringItem]:
    """A JSON Web Token's times; a token of another form says nothing, nor does one without an end."""
    # An opaque token says nothing of its end; that it ended shows as a refusal.
    parts = str(user.get("token") or "").split(".")
    if len(parts) != 3:
        return
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        begin, end = (from_unix_seconds(claims.get(name)) for name in ("iat", "exp"))
    except (ValueError, TypeError, AttributeError, OverflowError, OSError):
        return
    if end is not None:
        yield ExpiringItem(SourceKind.KUBECONFIG, "service account token", begin, end)


def _server(cluster: Json) -> HostTarget | None:
    """The API server, whose own certificate MicroK8s makes for a year."""
    address = urlsplit(str(cluster.get("server") or ""))
    try:
        roots = base64.b64decode(str(cluster.get("certificate-authority-data") or "")).decode("ascii")
        port = address.port or 443
    except (ValueError, binascii.Error):
        return None
    # Whoever switched the verification off does not want to hear that it fails.
    if address.scheme != "https" or not address.hostname or cluster.get("insecure-skip-tls-verify"):
        return None
    return HostTarget(
        str(cluster.get("tls-server-name") or address.hostname), port, trusted_roots=roots, label=API_SERVER
    )
