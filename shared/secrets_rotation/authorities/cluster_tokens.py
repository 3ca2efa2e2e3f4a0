"""`CredentialAuthority` of a service account's token, in a kubeconfig: one Secret for each token.

With a lifetime it is a token by TokenRequest that is bound to that Secret, else the token that the cluster
puts into it. Both end when their Secret is deleted, and by nothing else before their time:
https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Protocol

from shared.kernel.errors import Refused
from shared.kernel.secret import Secret
from shared.kernel.timestamps import from_unix_seconds
from shared.secrets_rotation.authorities.presented import PresentedByReaders
from shared.secrets_rotation.model import ChosenCredential

# Found in the text and replaced there: a kubeconfig that were parsed and written anew would lose comments and
# order.
_JWT = re.compile(r"(?<![\w.-])eyJ[A-Za-z0-9_-]+\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{20,}(?![\w.-])", re.ASCII)
_UNBOUND = "token without a Secret"


class ClusterTokens(Protocol):
    """A cluster, signed in to by one kubeconfig. Raises `Refused`, `NotFound`, `Unavailable`."""

    def make_token(self, namespace: str, account: str, name: str, lifetime: timedelta | None) -> Secret:
        """The token of the Secret `name`, which is made if it is not there. Raises Refused for a shorter."""
        ...

    def whoami(self) -> str:
        """The user that the cluster takes the caller for."""
        ...

    def delete_token(self, namespace: str, account: str, name: str) -> None:
        """Delete the Secret, if it is one of the account's tokens; one that is gone is fine."""
        ...


class ServiceAccountTokens(PresentedByReaders):
    """The tokens of `service_account`, NAMESPACE/NAME. `connect` signs in by a home's kubeconfig."""

    def __init__(
        self,
        service_account: str,
        connect: Callable[[Secret], ClusterTokens],
        lifetime: timedelta | None = None,
    ) -> None:
        self._namespace, _, self._account = service_account.partition("/")
        self._connect, self._lifetime = connect, lifetime

    def choose(self, current: Secret, rotation: str) -> ChosenCredential:
        """See `CredentialAuthority.choose`; labels are the names of Secrets."""
        old = self._find_name(_find_token(current))
        return ChosenCredential(old, f"{self._account}-token-{rotation.lower()}", Secret(""))

    def issue(self, chosen: ChosenCredential, current: Secret) -> Secret:
        """See `CredentialAuthority.issue`; a Secret of that name is of a run that died."""
        cluster = self._connect(current)
        return cluster.make_token(self._namespace, self._account, chosen.new_label, self._lifetime)

    def render(self, current: Secret, _label: str, secret: Secret) -> Secret:
        """The same kubeconfig with the new token in the old one's place."""
        return Secret(current.reveal().replace(_find_token(current), secret.reveal()))

    def prove(self, value: Secret, label: str) -> None:
        """Sign in anew and ask the cluster for whom it takes one."""
        if self._find_name(_find_token(value)) != label:
            raise Refused("the home holds another token", value=label)
        user = self._connect(value).whoami()
        expected = f"system:serviceaccount:{self._namespace}:{self._account}"
        if user != expected:
            raise Refused("the token is of another account", value=user)

    def revoke(self, label: str, valid: Secret) -> str:
        """Delete its Secret. Without one it is valid until its end: nothing else in a cluster ends it."""
        if label.startswith(_UNBOUND):
            return (
                f"the old {label}: it cannot be revoked by itself. If it may have leaked, delete and make "
                f"anew the ServiceAccount {self._namespace}/{self._account}, then rotate again"
            )
        if self._find_name(_find_token(valid)) == label:
            raise Refused("this token is the one in use", value=label)
        self._connect(valid).delete_token(self._namespace, self._account, label)
        return ""

    def _find_name(self, token: str) -> str:
        """The Secret that the token says it belongs to. Raises Refused for another account's."""
        claims = _parse_claims(token)
        bound = claims.get("kubernetes.io")
        bound = bound if isinstance(bound, Mapping) else {}
        legacy = "kubernetes.io/serviceaccount/"
        account = _name_of(bound.get("serviceaccount")) or claims.get(f"{legacy}service-account.name")
        namespace = bound.get("namespace") or claims.get(f"{legacy}namespace")
        # Policy may name the wrong account: then this would delete the tokens of somebody who has nothing to
        # do with it.
        if (namespace, account) != (self._namespace, self._account):
            raise Refused("the home's token is of another service account", value=f"{namespace}/{account}")
        name = _name_of(bound.get("secret")) or claims.get(f"{legacy}secret.name")
        ends = from_unix_seconds(claims.get("exp"))
        return str(name) if name else f"{_UNBOUND}, valid until {ends:%Y-%m-%d}" if ends else _UNBOUND


def _name_of(reference: object) -> object:
    return reference.get("name") if isinstance(reference, Mapping) else None


def _find_token(value: Secret) -> str:
    """The one token in a kubeconfig. Raises Refused, quoting nothing."""
    tokens = set(_JWT.findall(value.reveal()))
    if len(tokens) != 1:
        hint = "It has to be a kubeconfig with the token of a service account, not with a certificate."
        raise Refused(
            "the home does not hold one token of a cluster", value=f"{len(tokens)} found", hint=hint
        )
    return str(tokens.pop())


def _parse_claims(token: str) -> Mapping[str, Any]:
    """What the token says of itself. Nobody checks its signature here: the cluster does, at the proof."""
    body = token.split(".")[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (binascii.Error, ValueError):
        claims = None
    if not isinstance(claims, dict):
        raise Refused("the home's token cannot be read")
    return claims
