"""A kubeconfig read into plain values, and the signed-in connection that it describes.

https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
The forms that clusters of today hand out: a token or a file of one, a client certificate, a command. The
client library of Kubernetes costs a fresh worker 0.4 s of CPU and 35 MB, for a handful of calls.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import ssl
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared.kernel.errors import Refused, UsageError
from shared.kernel.proxies import find_proxy
from shared.kernel.secret import Secret
from shared.kernel.timestamps import parse_optional_timestamp
from shared.kernel.yaml_text import load_yaml

if TYPE_CHECKING:
    from urllib3 import PoolManager

_HINT = "Export it anew: microk8s config"
_COMMAND_SECONDS = 60
_NO_SECRET = Secret("")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Kubernetes 1.19 and 1.26 dropped them: https://kubernetes.io/docs/reference/access-authn-authz/authentication/
_GONE = ("auth-provider", "username")
_RETIRED = "Use a service account's token, a client certificate, or exec"


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """The current context: its cluster and its user, as they stand in the file."""

    cluster: Mapping[str, Any]
    user: Mapping[str, Any]

    @property
    def server(self) -> str:
        """The API's address, without a slash at its end."""
        return str(self.cluster["server"]).rstrip("/")

    @property
    def renewable(self) -> bool:
        """Whether a new sign-in can bring another token than the last one."""
        return "exec" in self.user or "tokenFile" in self.user


@dataclass(frozen=True, slots=True)
class Credential:
    """What signs requests in: a header's value, or a client certificate and its key as PEM."""

    authorization: Secret = _NO_SECRET
    certificate: bytes = b""
    key: Secret = _NO_SECRET
    expires: datetime | None = None


def parse_kubeconfig(content: Secret) -> Kubeconfig:
    """The current context of a kubeconfig. Raises UsageError, which quotes nothing of it."""
    import yaml

    try:
        loaded = load_yaml(content.reveal())
        context = _find(loaded["contexts"], loaded["current-context"])["context"]
        cluster = _find(loaded["clusters"], context["cluster"])["cluster"]
        users = loaded.get("users") or ()
        user = _find(users, context["user"]).get("user") or {} if context.get("user") and users else {}
        kubeconfig = Kubeconfig(dict(cluster), dict(user))
        parts = urlsplit(kubeconfig.server)
        port = parts.port  # raises ValueError for what is no number
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError, LookupError):
        # Not chained: the parsers quote the line, which may hold the token.
        raise UsageError("the kubeconfig cannot be read", hint=_HINT) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise UsageError("the kubeconfig names no server's address", hint=_HINT)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise UsageError("the kubeconfig's server is not https", hint="The token would be readable by all")
    for name in _GONE:
        if name in kubeconfig.user:
            raise UsageError("Kubernetes no longer takes this sign-in", value=name, hint=_RETIRED)
    return kubeconfig


def _find(entries: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    match = next((entry for entry in entries if entry["name"] == name), None)
    if match is None:
        raise KeyError(name)
    return match


def sign_in(config: Kubeconfig) -> Credential:
    """The user's credential as of now. Runs the command, if it names one. Raises UsageError, Refused."""
    user = config.user
    if user.get("tokenFile"):  # before `token`, as in kubectl
        return Credential(Secret(f"Bearer {_read(str(user['tokenFile'])).decode().strip()}"))
    if user.get("token"):
        return Credential(Secret(f"Bearer {user['token']}"))
    # Runs with the worker's own environment, as kubectl does it: such plugins find their cloud's identity
    # there.
    if user.get("exec"):
        return _run_command(user["exec"], config.cluster)
    certificate = _read_pem(user, "client-certificate")
    key = _read_pem(user, "client-key")
    return Credential(certificate=certificate, key=Secret(key.decode(errors="replace")))


def _run_command(command: Mapping[str, Any], cluster: Mapping[str, Any]) -> Credential:
    """What a credential plugin prints: a token or a certificate.

    https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
    """
    name = str(command.get("command", ""))
    spec: dict[str, Any] = {"interactive": False}
    if command.get("provideClusterInfo"):
        spec["cluster"] = dict(cluster)
    request = {"apiVersion": command.get("apiVersion"), "kind": "ExecCredential", "spec": spec}
    environment = {
        **os.environ,
        **{str(one["name"]): str(one["value"]) for one in command.get("env") or ()},
        "KUBERNETES_EXEC_INFO": json.dumps(request),
    }
    try:
        done = subprocess.run(
            [name, *map(str, command.get("args") or ())],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_COMMAND_SECONDS,
            check=True,
        )
        printed = json.loads(done.stdout)
        if printed.get("apiVersion") != request["apiVersion"]:
            raise ValueError("another version")
        status = printed["status"]
        token = str(status.get("token") or "")
        certificate = str(status.get("clientCertificateData") or "")
        key = str(status["clientKeyData"]) if certificate else ""
        expires = parse_optional_timestamp(status.get("expirationTimestamp"))
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError, AttributeError) as error:
        # Not chained: its output has the token in it.
        hint = f"Run it by hand and see what it says: {name}"
        raise Refused(
            "the kubeconfig's command gives no credential", value=type(error).__name__, hint=hint
        ) from None
    authorization = Secret(f"Bearer {token}" if token else "")
    return Credential(authorization, certificate.encode(), Secret(key), expires)


def has_expired(credential: Credential, now: datetime) -> bool:
    """Whether a new sign-in is due."""
    return credential.expires is not None and credential.expires <= now


def open_pool(config: Kubeconfig, credential: Credential) -> PoolManager:
    """Connections to the server: through the proxy that the environment or the kubeconfig names, if any."""
    import urllib3

    # No retries of its own: a POST that was sent twice may be done twice, and ours know which may be.
    options: dict[str, Any] = {"maxsize": 4, "retries": False}
    if config.server.startswith("https:"):
        options["ssl_context"] = make_tls_context(config.cluster, credential)
    if config.cluster.get("tls-server-name"):
        options["server_hostname"] = str(config.cluster["tls-server-name"])
    proxy = find_cluster_proxy(config)
    return urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)


def find_cluster_proxy(config: Kubeconfig) -> str:
    """The address of the proxy that the kubeconfig or the environment names; empty for none."""
    return str(config.cluster.get("proxy-url") or find_proxy(config.server))


def make_tls_context(cluster: Mapping[str, Any], credential: Credential) -> ssl.SSLContext:
    """Trust and client certificate of the connection. Raises UsageError."""
    trusted = _read_pem(cluster, "certificate-authority")
    try:
        context = ssl.create_default_context(cadata=trusted.decode("ascii") if trusted else None)
        # Chain, name and time are checked all the same. Python 3.13 adds a strict reading of RFC 5280, by
        # which the authority that MicroK8s makes (`openssl req -x509`) fails: it has no key usage.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if cluster.get("insecure-skip-tls-verify") is True:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if credential.certificate:
            _load_chain(context, credential)
    except (ssl.SSLError, ValueError):
        raise UsageError("the kubeconfig's certificates cannot be read", hint=_HINT) from None
    return context


def _load_chain(context: ssl.SSLContext, credential: Credential) -> None:
    # The ssl module reads files only; this one is in a folder of our own (0700) and gone at once.
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "client.pem"
        file.write_bytes(credential.certificate + b"\n" + credential.key.reveal().encode())
        context.load_cert_chain(file)


def _read_pem(entry: Mapping[str, Any], name: str) -> bytes:
    """The content of `name-data`, or of the file of `name`; empty without both."""
    if data := entry.get(f"{name}-data"):
        try:
            return base64.b64decode("".join(str(data).split()), validate=True)
        except (binascii.Error, ValueError):
            raise UsageError("the kubeconfig cannot be read", value=f"{name}-data", hint=_HINT) from None
    return _read(str(entry[name])) if entry.get(name) else b""


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        hint = "Where the app runs, that file is not there: put its content into the kubeconfig"
        raise UsageError(
            "a file of the kubeconfig cannot be read", value=type(error).__name__, hint=hint
        ) from None


def utc_now() -> datetime:
    """The time by which a credential expires; no decision of ours hangs on it."""
    return datetime.now(UTC)
