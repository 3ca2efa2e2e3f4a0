"""Signing in to a mail server: over TLS or not at all, and what each answer means."""

from __future__ import annotations

import base64
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from shared.adapters.mail_server import sign_in
from shared.kernel.errors import Refused, Unavailable
from shared.kernel.secret import Secret
from tests.support.certificates import issue

LOGIN = base64.b64encode(b"\0chat@example.org\0pass/word").decode()


class MailServer(socketserver.ThreadingTCPServer):
    """As much of RFC 5321, 3207 and 4954 as a sign-in needs. `tls` is None for a server without STARTTLS."""

    allow_reuse_address, daemon_threads = True, False

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.tls = tls
        self.answer = b"535 5.7.8 wrong"
        self.seen: list[str] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Session(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.request.settimeout(60)
        with ExitStack() as stack:
            self._serve(stack)

    def _serve(self, stack: ExitStack) -> None:
        stream, is_safe = self.request, False
        reader = stack.enter_context(stream.makefile("rb"))
        stream.sendall(b"220 mail.example.org\r\n")
        while line := reader.readline():
            word = line.decode().split()[0].upper()
            self.server.seen.append(f"{word}{' over TLS' if is_safe else ''}")
            if word == "EHLO":
                offers = b"250-AUTH PLAIN\r\n" if is_safe else b""
                offers += b"250-STARTTLS\r\n" if self.server.tls and not is_safe else b""
                stream.sendall(b"250-mail\r\n" + offers + b"250 SIZE\r\n")
            elif word == "STARTTLS" and self.server.tls:
                stream.sendall(b"220 go ahead\r\n")
                try:
                    stream = stack.enter_context(self.server.tls.wrap_socket(stream, server_side=True))
                except OSError:  # the client does not trust it
                    return
                reader, is_safe = stack.enter_context(stream.makefile("rb")), True
            elif word == "AUTH":
                right = line.decode().split()[2] == LOGIN
                stream.sendall((b"235 welcome" if right else self.server.answer) + b"\r\n")
            else:
                stream.sendall(b"221 bye\r\n")
                if word == "QUIT":
                    return


@pytest.fixture
def trusting(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's context, and that of a client that trusts it."""
    issued = issue("127.0.0.1", "127.0.0.1")
    (tmp_path / "chain.pem").write_bytes(issued.pem + issued.key_pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "chain.pem")
    return server, ssl.create_default_context(cadata=issued.pem.decode())


@pytest.fixture
def mail(trusting: tuple[ssl.SSLContext, ssl.SSLContext]) -> Iterator[MailServer]:
    with MailServer(trusting[0]) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def address(server: MailServer, password: str = "pass%2Fword") -> Secret:  # noqa: S107 - of this test
    return Secret(f"smtp://chat%40example.org:{password}@127.0.0.1:{server.port}")


def test_the_right_password_is_shown_over_tls_only(
    mail: MailServer, trusting: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    sign_in(address(mail), trusting[1])
    assert [one for one in mail.seen if one.startswith("AUTH")] == ["AUTH over TLS"]


@pytest.mark.parametrize(("code", "error"), [(535, Refused), (534, Refused), (454, Unavailable)])
def test_a_wrong_password_is_refused_and_a_server_in_trouble_is_asked_again(
    mail: MailServer, trusting: tuple[ssl.SSLContext, ssl.SSLContext], code: int, error: type[Exception]
) -> None:
    mail.answer = f"{code} no, chat@example.org".encode()
    with pytest.raises(error) as caught:
        sign_in(address(mail, "wrong"), trusting[1])
    assert "wrong" not in str(caught.value)
    assert "chat@" not in str(caught.value)


def test_nothing_is_shown_to_a_server_without_tls_or_with_a_certificate_of_a_stranger(
    mail: MailServer, trusting: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    with pytest.raises(Unavailable):
        sign_in(address(mail))
    mail.tls = None
    with pytest.raises(Refused, match="no TLS"):
        sign_in(address(mail), trusting[1])
    assert not any(one.startswith("AUTH") for one in mail.seen)


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        sign_in(Secret("smtp://a:b@127.0.0.1:1"))
