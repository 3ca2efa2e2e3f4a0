"""`ClusterTokens` over the Kubernetes API: a service account's tokens, each with a Secret that ends it.

https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/
The rights are in infra/chart/rbac-rotation.yaml.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from shared.kernel.errors import Conflict, NotFound, Refused, Unavailable
from shared.kernel.secret import Secret
from shared.kernel.timestamps import format_minute, parse_optional_timestamp
from shared.kubernetes.api import Json, KubernetesApi, connect_api, quoted
from shared.kubernetes.kubeconfig import utc_now

_ACCOUNT = "kubernetes.io/service-account.name"  # the cluster's own annotation, ours on bound tokens' Secrets
_TOKEN_TYPE = "kubernetes.io/service-account-token"  # noqa: S105 - a type's name
_LOOKS, _LOOK_SECONDS = 20, 0.5
_ROUNDING = timedelta(minutes=5)


class KubernetesTokens:
    """Service accounts' tokens behind `api`."""

    def __init__(
        self,
        api: KubernetesApi,
        pause: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._api, self._pause, self._now = api, pause, now

    def make_token(self, namespace: str, account: str, name: str, lifetime: timedelta | None) -> Secret:
        """See `ClusterTokens.make_token`."""
        meta = {"name": name, "namespace": namespace, "annotations": {_ACCOUNT: account}}
        kind = "Opaque" if lifetime else _TOKEN_TYPE
        item = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": kind}
        try:
            self._api.post(f"/api/v1/namespaces/{quoted(namespace)}/secrets", item)
        except Conflict:  # of a run that died: it is the same one, or not ours
            if not _is_of(self._api.get(_secret_path(namespace, name)), account):
                raise Refused("there is another Secret of this name", value=f"{namespace}/{name}") from None
        if lifetime is None:
            return self._await_token(namespace, name)
        return self._request_token(namespace, account, name, lifetime)

    def _await_token(self, namespace: str, name: str) -> Secret:
        """What the cluster's token controller puts into the Secret."""
        for _ in range(_LOOKS):
            data = self._api.get(_secret_path(namespace, name)).get("data") or {}
            if data.get("token"):
                return Secret(_decode(str(data["token"]), name))
            self._pause(_LOOK_SECONDS)
        raise Unavailable("the cluster has not made the token yet", value=f"{namespace}/{name}")

    def _request_token(self, namespace: str, account: str, name: str, lifetime: timedelta) -> Secret:
        uid = str(self._api.get(_secret_path(namespace, name))["metadata"]["uid"])
        bound = {"kind": "Secret", "apiVersion": "v1", "name": name, "uid": uid}
        spec = {"expirationSeconds": int(lifetime.total_seconds()), "boundObjectRef": bound}
        path = f"/api/v1/namespaces/{quoted(namespace)}/serviceaccounts/{quoted(account)}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        status = self._api.post(path, body).get("status") or {}
        ends = parse_optional_timestamp(status.get("expirationTimestamp"))
        # A server may give a shorter one than was asked for, and says so in its answer only.
        if ends is None or ends - self._now() < lifetime - _ROUNDING:
            lasts = f"until {format_minute(ends)}" if ends else "of unknown length"
            hint = "Set a lifetime that the cluster gives, or none."
            raise Refused("the cluster gives a shorter token than policy wants", value=lasts, hint=hint)
        return Secret(str(status["token"]))

    def whoami(self) -> str:
        """See `ClusterTokens.whoami`. Everybody who is signed in may ask it."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = self._api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", body)
        return str(((answer.get("status") or {}).get("userInfo") or {}).get("username") or "")

    def delete_token(self, namespace: str, account: str, name: str) -> None:
        """See `ClusterTokens.delete_token`."""
        path = _secret_path(namespace, name)
        try:
            # The name comes out of a token, which says what it likes: nothing but a token's Secret goes.
            if not _is_of(self._api.get(path), account):
                raise Refused("this is no Secret of the account's tokens", value=f"{namespace}/{name}")
            self._api.delete(path)
        except NotFound:
            return


def connect_tokens(kubeconfig: Secret) -> KubernetesTokens:
    """The kubeconfig's cluster. Imports the client. Raises UsageError."""
    return KubernetesTokens(connect_api(kubeconfig))


def _secret_path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{quoted(namespace)}/secrets/{quoted(name)}"


def _is_of(secret: Json, account: str) -> bool:
    annotations = (secret.get("metadata") or {}).get("annotations") or {}
    return bool(annotations.get(_ACCOUNT) == account)


def _decode(text: str, name: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise Unavailable("the Secret's token is no text", value=name) from None
