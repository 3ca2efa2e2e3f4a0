"""What a port-forward's WebSocket may say that no kubelet should: each ends the connection, and is told."""

from __future__ import annotations

import logging
import socket
import struct
from typing import Any

import pytest
from websocket import ABNF

from shared.adapters.kubernetes.port_forward import PortForward

PORT = 27017
OPENED = struct.pack("<H", PORT)
SECONDS = 60.0


class ScriptedSocket:
    """Hands out these messages, and is ready for as long as there are any."""

    def __init__(self, *messages: tuple[int, bytes]) -> None:
        self._messages = list(messages)
        self.sock, self._other = socket.socketpair()
        self._other.sendall(b"x")  # always something to read, for whoever waits
        self.sent: list[bytes] = []

    def settimeout(self, seconds: float) -> None:
        self.sock.settimeout(seconds)

    def recv_data_frame(self, _control: bool) -> tuple[int, Any]:
        opcode, data = self._messages.pop(0) if self._messages else (ABNF.OPCODE_CLOSE, b"")
        return opcode, ABNF(opcode=opcode, data=data)

    def send_binary(self, data: bytes) -> None:
        self.sent.append(data)

    def shutdown(self) -> None:
        self.sock.close()
        self._other.close()


def read_all(*messages: tuple[int, bytes]) -> tuple[bytes, str]:
    """What the client gets, and what is told."""
    scripted = ScriptedSocket(*messages)
    forward = PortForward(lambda: scripted, PORT)  # type: ignore[arg-type, return-value]
    try:
        with socket.create_connection(("127.0.0.1", forward.port), timeout=SECONDS) as client:
            received = b""
            while data := client.recv(100):
                received += data
        return received, forward.problem
    finally:
        forward.close()


def binary(*data: bytes) -> list[tuple[int, bytes]]:
    return [(ABNF.OPCODE_BINARY, each) for each in data]


def test_the_ports_own_messages_are_left_out_and_the_rest_is_the_data() -> None:
    messages = binary(b"\x00" + OPENED, b"\x01" + OPENED, b"\x00ab", b"\x00", b"\x00cd")
    assert read_all(*messages) == (b"abcd", "")


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        (binary(b"\x00" + struct.pack("<H", 80)), "another port than was asked for"),
        (binary(b"\x00" + struct.pack(">H", PORT)), "another port than was asked for"),
        (binary(b"\x00" + OPENED, b"\x01" + OPENED, b"\x01refused"), "the port is not forwarded: refused"),
    ],
    ids=["another-port", "the-greater-byte-first", "an-error"],
)
def test_a_wrong_port_and_an_error_end_the_connection_and_are_told(
    messages: list[tuple[int, bytes]], problem: str
) -> None:
    received, told = read_all(*messages)
    assert received == b""
    assert problem in told


@pytest.mark.parametrize(
    ("words", "level"),
    [
        (b"dial tcp4 127.0.0.1:3000: connect: connection refused", logging.DEBUG),
        (b"read tcp4 127.0.0.1:3000: connection reset by peer", logging.WARNING),
    ],
    ids=["nobody-listens", "lost"],
)
def test_a_port_on_which_nobody_listens_yet_is_no_warning_at_each_look(
    words: bytes, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        _, told = read_all(*binary(b"\x00" + OPENED, b"\x01" + OPENED, b"\x01" + words))
    assert words.decode() in told
    assert [one.levelno for one in caplog.records if one.message == "kubernetes.forward_ended"] == [level]


def test_texts_and_other_channels_are_no_data() -> None:
    others = [(ABNF.OPCODE_TEXT, b"0hello"), (ABNF.OPCODE_PING, b""), (ABNF.OPCODE_BINARY, b"")]
    channel = binary(b"\x02" + OPENED, b"\x02strange")
    assert read_all(*binary(b"\x00" + OPENED), *others, *channel, *binary(b"\x00x")) == (b"x", "")
