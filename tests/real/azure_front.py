"""What Azure's provider asks for a plan: the cloud's endpoints, a token, the registered namespaces.

Over TLS on loopback, with a certificate made at run time. Nothing else is known: a plan of what is not there
yet reads nothing else, and what it asks besides is on record.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.certificates import issue

TENANT = "11111111-1111-1111-1111-111111111111"
OBJECT = "22222222-2222-2222-2222-222222222222"
CLIENT = "33333333-3333-3333-3333-333333333333"


@dataclass
class AzureFront:
    """Its address, the file with its certificate, and what it did not know."""

    host: str
    certificate: Path
    unknown: list[str] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        """What the provider reads of its environment."""
        return {
            "ARM_METADATA_HOSTNAME": self.host,
            "ARM_TENANT_ID": TENANT,
            "ARM_CLIENT_ID": CLIENT,
            "ARM_CLIENT_SECRET": "made-up-at-run-time",
            "ARM_USE_CLI": "false",
            "SSL_CERT_FILE": str(self.certificate),
        }

    def answer(self, method: str, path: str) -> tuple[int, Any]:
        """Status and body."""
        path = path.partition("?")[0].rstrip("/")
        if path == "/metadata/endpoints":
            return 200, self._endpoints()
        if path.endswith("/oauth2/v2.0/token"):
            return 200, {"access_token": _token(), "token_type": "Bearer", "expires_in": 3600}
        if method == "GET" and path.lower().endswith("/providers"):
            return 200, {"value": [_namespace(name) for name in NAMESPACES]}
        self.unknown.append(f"{method} {path}")
        return 404, {"error": {"code": "ResourceNotFound", "message": path}}

    def _endpoints(self) -> dict[str, Any]:
        """The fields of https://management.azure.com/metadata/endpoints that are read."""
        url = f"https://{self.host}"
        return {
            "name": "AzureCloud",
            "authentication": {
                "loginEndpoint": url, "audiences": [url], "tenant": "common", "identityProvider": "AAD",
            },
            "resourceManager": url,
            "microsoftGraphResourceId": url,
            "logAnalyticsResourceId": url,
            "suffixes": {"keyVaultDns": "vault.azure.net", "storage": "core.windows.net"},
        }  # fmt: skip


# Those that both roots register.
NAMESPACES = (
    "Microsoft.App", "Microsoft.Compute", "Microsoft.Consumption", "Microsoft.ContainerService",
    "Microsoft.EventGrid", "Microsoft.Insights", "Microsoft.KeyVault", "Microsoft.ManagedIdentity",
    "Microsoft.Network", "Microsoft.OperationalInsights", "Microsoft.Storage", "Microsoft.Web",
)  # fmt: skip


def _namespace(name: str) -> dict[str, Any]:
    return {"namespace": name, "registrationState": "Registered", "resourceTypes": []}


def _token() -> str:
    """A token whose claims are read and whose signature nobody checks."""
    claims = {"oid": OBJECT, "tid": TENANT, "appid": CLIENT, "exp": int(time.time()) + 3600}
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, "none"])


@contextmanager
def serve_azure_front(folder: Path) -> Iterator[AzureFront]:
    """Serve it until the end of the block."""
    issued = issue("localhost", "localhost", "127.0.0.1", authority=False)
    certificate, key = folder / "front.pem", folder / "front.key"
    certificate.write_bytes(issued.pem)
    key.write_bytes(issued.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    front = AzureFront(f"localhost:{server.server_port}", certificate)
    server.RequestHandlerClass = _handler(front)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield front
    finally:
        server.shutdown()
        server.server_close()


def _handler(front: AzureFront) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = front.answer(self.command, self.path)
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
