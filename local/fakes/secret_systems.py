"""The systems behind secrets, in memory: storage keys, cluster tokens, GitHub, mail, cert-manager."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from urllib.parse import urlsplit

from local.numbers import RisingNumbers
from shared.kernel.errors import NotFound, Refused
from shared.kernel.secret import Secret


class MemoryStorageKeys:
    """`StorageAccountKeys`: two keys, each replaced at once."""

    def __init__(self) -> None:
        self.keys = {"key1": _storage_key(), "key2": _storage_key()}

    def list_keys(self) -> Mapping[str, Secret]:
        """See `StorageAccountKeys.list_keys`."""
        return {name: Secret(value) for name, value in self.keys.items()}

    def regenerate_key(self, name: str) -> Secret:
        """See `StorageAccountKeys.regenerate_key`."""
        if name not in self.keys:
            raise NotFound("the account has no such key", value=name)
        self.keys[name] = _storage_key()
        return Secret(self.keys[name])

    def open_account(self, value: Secret) -> None:
        """As a reader opens the account with a key. Raises Refused."""
        if not any(key in value.reveal() for key in self.keys.values()):
            raise Refused("the storage account does not take the key")


class MemoryTokenCluster:
    """Service accounts' tokens by their Secrets; `connect` signs in by a kubeconfig that holds one."""

    def __init__(self) -> None:
        self.tokens: dict[str, tuple[str, str]] = {}  # by Secret: user, token
        self.longest: timedelta | None = None
        self._numbers = RisingNumbers()

    def add_token(self, namespace: str, account: str, name: str) -> str:
        """The token of the Secret, which is made if it is not there."""
        if name not in self.tokens:
            claims = {
                "kubernetes.io": {
                    "namespace": namespace, "serviceaccount": {"name": account}, "secret": {"name": name}
                },
                "jti": next(self._numbers),
            }  # fmt: skip
            user = f"system:serviceaccount:{namespace}:{account}"
            self.tokens[name] = (user, write_token(claims))
        return self.tokens[name][1]

    def connect(self, kubeconfig: Secret) -> MemoryClusterTokens:
        """Signed in as whoever the kubeconfig's token is of; one that is of nobody is refused when asked."""
        return MemoryClusterTokens(self, kubeconfig)


class MemoryClusterTokens:
    """`ClusterTokens` of a `MemoryTokenCluster`."""

    def __init__(self, cluster: MemoryTokenCluster, kubeconfig: Secret) -> None:
        self._cluster, self._kubeconfig = cluster, kubeconfig

    def make_token(self, namespace: str, account: str, name: str, lifetime: timedelta | None) -> Secret:
        """See `ClusterTokens.make_token`."""
        self.whoami()
        if lifetime and self._cluster.longest and lifetime > self._cluster.longest:
            raise Refused("the cluster gives shorter tokens than policy wants", value=self._cluster.longest)
        return Secret(self._cluster.add_token(namespace, account, name))

    def whoami(self) -> str:
        """See `ClusterTokens.whoami`."""
        for user, token in self._cluster.tokens.values():
            if token in self._kubeconfig.reveal():
                return user
        raise Refused("the cluster does not accept the kubeconfig")

    def delete_token(self, _namespace: str, _account: str, name: str) -> None:
        """See `ClusterTokens.delete_token`."""
        self.whoami()
        self._cluster.tokens.pop(name, None)


class MemoryCredentials:
    """What GitHub or a mail server takes: texts that are asked for one by one."""

    def __init__(self, *valid: str) -> None:
        self.valid = set(valid)

    def is_accepted(self, value: Secret) -> bool:
        """Whether it is taken."""
        return value.reveal().strip() in self.valid

    def signs_in(self, value: Secret) -> None:
        """Raises Refused if it is not taken."""
        if not self.is_accepted(value):
            raise Refused("the sign-in is refused", value=urlsplit(value.reveal()).hostname)


class MemoryIssuer:
    """cert-manager: what was asked for is issued when the test says so; `issue` makes a certificate."""

    def __init__(self, issue: Callable[[], str]) -> None:
        self._issue = issue
        self.asked = 0
        self.is_issuing = False

    def renew(self) -> None:
        """Ask for a new one; while one is issued nothing happens."""
        self.asked += not self.is_issuing
        self.is_issuing = True

    def take_issued(self) -> str:
        """The certificate that was asked for; empty if none was."""
        asked, self.is_issuing = self.is_issuing, False
        return self._issue() if asked else ""


def _storage_key() -> str:
    return base64.b64encode(os.urandom(64)).decode()


def write_token(claims: Mapping[str, object]) -> str:
    """As a cluster makes them, signed by nobody."""
    parts = [json.dumps({"alg": "none", "kid": "x"}).encode(), json.dumps(claims).encode(), os.urandom(32)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
