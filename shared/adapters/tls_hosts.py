"""`HostProbe` over TLS: two handshakes, one that takes everything and one as a browser makes it.

The first shows the chain, whatever it is; the second asks OpenSSL whether clients accept it for the host. The
handshakes run over memory, so that a host that sends a byte a minute, or without end, costs a bounded time.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from shared.certificates.model import HostTarget, ServedChain
from shared.formats.x509 import parse_der_certificate
from shared.kernel.errors import Corrupt, Refused, Unavailable

_MAX_BYTES = 256 << 10  # a handshake has some ten kilobytes
_CHUNK = 16 << 10
TIMEOUT = timedelta(seconds=10)


class TlsHostProbe:
    """Looks at hosts. `public_roots` is a PEM file; `resolve` gives a host's addresses, the best first."""

    def __init__(
        self,
        public_roots: str,
        *,
        timeout: timedelta = TIMEOUT,
        resolve: Callable[[str, int], list[str]] | None = None,
    ) -> None:
        self._roots, self._timeout = public_roots, timeout
        self._resolve = resolve or _resolve

    def probe_host(self, target: HostTarget) -> ServedChain:
        """See `HostProbe.probe_host`."""
        address = self._address(target)
        chain, protocol = self._handshake(target, address, _accepting_context())
        if not chain:
            raise Unavailable(f"{target.name} shows no certificate")
        try:
            parsed = tuple(parse_der_certificate(one, target.name) for one in chain)
        except Corrupt as error:
            raise Unavailable(f"{target.name} shows no readable certificate", value=error.value) from error
        return ServedChain(parsed, protocol, self._verify(target, address))

    def _verify(self, target: HostTarget, address: str) -> str:
        """Why a client refuses the chain; empty if it does not."""
        try:
            self._handshake(target, address, self._checking_context(target))
        except ssl.SSLCertVerificationError as error:
            return error.verify_message or "certificate verify failed"
        return ""

    def _checking_context(self, target: HostTarget) -> ssl.SSLContext:
        context = ssl.create_default_context(
            cafile=None if target.trusted_roots else self._roots, cadata=target.trusted_roots or None
        )
        # Of protocol and ciphers the first handshake has told; this one is about the chain.
        _allow_old(context)
        return context

    def _address(self, target: HostTarget) -> str:
        try:
            addresses = self._resolve(target.host, target.port)
        except OSError as error:
            raise Unavailable(f"{target.host} is not in the DNS", value=type(error).__name__) from error
        if not addresses:
            raise Unavailable(f"{target.host} has no address")
        # Whoever may write an Ingress is not to choose what in our network is connected to.
        if not target.named and not ipaddress.ip_address(addresses[0]).is_global:
            hint = "Name it under certificates.hosts in policy.yaml if that is meant"
            raise Refused(f"{target.host} has an address that is not public", value=addresses[0], hint=hint)
        return addresses[0]

    def _handshake(
        self, target: HostTarget, address: str, context: ssl.SSLContext
    ) -> tuple[list[bytes], str]:
        """The chain in DER form, and the protocol. Raises ssl.SSLCertVerificationError, Unavailable."""
        deadline = time.monotonic() + self._timeout.total_seconds()
        with (
            _as_unavailable(target),
            socket.create_connection(
                (address, target.port), timeout=self._timeout.total_seconds()
            ) as connection,
        ):
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            session = context.wrap_bio(incoming, outgoing, server_hostname=target.host)
            received = 0
            while True:
                try:
                    session.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    _send(connection, outgoing, deadline)
                    data = _receive(connection, deadline)
                    received += len(data)
                    # A host that sends without end would fill the memory before the deadline.
                    if received > _MAX_BYTES:
                        raise Unavailable(f"{target.name} sends more than a handshake has") from None
                    incoming.write(data) if data else incoming.write_eof()
            return _chain(session), str(session.version())


def _send(connection: socket.socket, outgoing: ssl.MemoryBIO, deadline: float) -> None:
    data = outgoing.read()
    if data:
        connection.settimeout(_left(deadline))
        connection.sendall(data)


def _receive(connection: socket.socket, deadline: float) -> bytes:
    connection.settimeout(_left(deadline))
    return connection.recv(_CHUNK)


def _left(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("timed out")
    return seconds


def _chain(session: ssl.SSLObject) -> list[bytes]:
    """As the host sent it. The method is public from Python 3.13 on, and below it where it was before."""
    public: Any = getattr(session, "get_unverified_chain", None)
    if public is not None:
        return list(public() or ())
    import _ssl

    inner: Any = session._sslobj  # type: ignore[attr-defined]
    return [one.public_bytes(_ssl.ENCODING_DER) for one in inner.get_unverified_chain() or ()]


@contextmanager
def _as_unavailable(target: HostTarget) -> Iterator[None]:
    try:
        yield
    except ssl.SSLCertVerificationError:
        raise
    except ssl.SSLError as error:
        reason = (error.reason or "no TLS").replace("_", " ").lower()
        raise Unavailable(f"{target.name} answers, but not with TLS", value=reason) from error
    except TimeoutError as error:
        raise Unavailable(f"{target.name} does not answer in time") from error
    except OSError as error:
        raise Unavailable(
            f"{target.name} does not answer", value=error.strerror or type(error).__name__
        ) from error


def _accepting_context() -> ssl.SSLContext:
    """Takes any certificate: it is to be looked at, and nothing is sent to who shows it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _allow_old(context)
    return context


def _allow_old(context: ssl.SSLContext) -> None:
    """Old protocols and short keys, which are to be reported rather than not seen."""
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("DEFAULT:@SECLEVEL=0")


def _resolve(host: str, port: int) -> list[str]:
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in answers))


def connect() -> TlsHostProbe:
    """With Mozilla's roots, as `requests` has them: the platform's own may be absent or old."""
    import certifi

    return TlsHostProbe(certifi.where())
