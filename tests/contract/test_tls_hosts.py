"""What hosts show, asked of real TLS servers with every fault there is, and of servers that are none."""

from __future__ import annotations

import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.adapters.tls_hosts import TlsHostProbe, connect
from shared.certificates.decide import judge_certificates
from shared.certificates.model import CertificateEntry, HostTarget, ObservedCertificates, ServedChain
from shared.kernel.errors import Refused, Unavailable
from shared.policy import CertificatePolicy
from tests.support.certificates import DAY, Issued, issue
from tests.support.tls_hosts import Answer, serve_tcp, serve_tls

HOST = "chat.example.org"
ROOT = issue("root", authority=True, lasting=3650 * DAY)
ISSUER = issue("issuer", authority=True, by=ROOT, lasting=1000 * DAY)
LEAF = issue("chat", HOST, by=ISSUER)
LONG_AGO = datetime.now(UTC) - 100 * DAY


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> TlsHostProbe:
    roots = tmp_path_factory.mktemp("roots") / "roots.pem"
    roots.write_bytes(ROOT.pem)
    return TlsHostProbe(str(roots), timeout=timedelta(seconds=5), resolve=lambda *_: ["127.0.0.1"])


def look(probe: TlsHostProbe, *chain: Issued, host: str = HOST) -> ServedChain:
    with serve_tls(*chain) as port:
        return probe.probe_host(HostTarget(host, port))


def verdict(shown: ServedChain) -> CertificateEntry:
    observed = ObservedCertificates(served=((HostTarget(HOST), shown),))
    (entry,) = judge_certificates(observed, CertificatePolicy(), datetime.now(UTC), {}, "")
    return entry


def test_a_good_chain_is_accepted_and_shown_in_order(probe: TlsHostProbe) -> None:
    shown = look(probe, LEAF, ISSUER)
    assert [one.subject for one in shown.chain] == ["CN=chat", "CN=issuer"]
    assert (shown.protocol, shown.error) == ("TLSv1.3", "")
    assert verdict(shown).reasons == ()


FAULTS = {
    "expired": ([issue("chat", HOST, by=ISSUER, start=LONG_AGO), ISSUER], "has expired", "expired 10 d"),
    "self-signed": ([issue("chat", HOST)], "self-signed certificate", "clients refuse it: self-signed"),
    "wrong name": ([issue("chat", "other.example.org", by=ISSUER), ISSUER], "Hostname mismatch", "is for o"),
    "incomplete chain": ([LEAF], "unable to get local issuer certificate", "clients refuse it: unable"),
    "RSA 1024": ([issue("chat", HOST, by=ISSUER, rsa_bits=1024), ISSUER], "", "RSA 1024 is too short a key"),
    "not yet valid": (
        [issue("chat", HOST, by=ISSUER, start=datetime.now(UTC) + DAY), ISSUER],
        "not yet valid", "not valid before",
    ),
    "foreign root": (
        [issue("chat", HOST, by=(other := issue("other", authority=True))), other],
        "self-signed certificate in certificate chain", "clients refuse it",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("chain", "error", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_chain_is_shown_with_what_clients_say(
    probe: TlsHostProbe, chain: list[Issued], error: str, reason: str
) -> None:
    shown = look(probe, *chain)
    assert error in shown.error
    entry = verdict(shown)
    assert entry.state == "critical"
    assert any(reason in one for one in entry.reasons), entry.reasons


def test_the_protocol_is_the_best_that_the_server_knows(probe: TlsHostProbe) -> None:
    with serve_tls(LEAF, ISSUER, old_protocols_only=True) as port:
        shown = probe.probe_host(HostTarget(HOST, port))
    assert shown.protocol == "TLSv1.1"
    assert verdict(shown).reasons == ("speaks no newer protocol than TLSv1.1",)


def test_an_api_server_is_judged_by_the_roots_of_its_kubeconfig(probe: TlsHostProbe) -> None:
    authority = issue("microk8s-ca", authority=True)
    server = issue("kube-apiserver", "127.0.0.1", by=authority)
    with serve_tls(server) as port:
        roots = authority.pem.decode()
        assert probe.probe_host(HostTarget("127.0.0.1", port, trusted_roots=roots)).error == ""
        assert "unable to get local issuer" in probe.probe_host(HostTarget("127.0.0.1", port)).error


def hang(_: socket.socket, over: threading.Event) -> None:
    over.wait(20)


def drip(connection: socket.socket, over: threading.Event) -> None:
    connection.recv(4096)
    for byte in b"\x16\x03\x03\x40\x00" + bytes(1000):
        connection.sendall(bytes([byte]))
        if over.wait(0.02):
            return


def flood(connection: socket.socket, over: threading.Event) -> None:
    connection.recv(4096)
    while not over.is_set():  # records of a handshake that never ends
        connection.sendall(b"\x16\x03\x03\x40\x00" + bytes(16384))


def page(connection: socket.socket, _: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def close(connection: socket.socket, _: threading.Event) -> None:
    connection.recv(4096)


SERVERS = {"hangs": hang, "drips": drip, "floods": flood, "answers in HTTP": page, "closes": close}


@pytest.mark.parametrize("answer", SERVERS.values(), ids=SERVERS)
def test_what_is_no_tls_server_is_unavailable_in_bounded_time(answer: Answer, tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_bytes(ROOT.pem)
    probe = TlsHostProbe(str(roots), timeout=timedelta(seconds=1), resolve=lambda *_: ["127.0.0.1"])
    begun = time.monotonic()
    with serve_tcp(answer) as port, pytest.raises(Unavailable, match=HOST):
        probe.probe_host(HostTarget(HOST, port))
    assert time.monotonic() - begun < 10


def test_a_port_on_which_nothing_listens_is_unavailable(probe: TlsHostProbe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unavailable, match="does not answer: Connection refused"):
        probe.probe_host(HostTarget(HOST, port))


def test_a_name_that_nobody_knows_is_unavailable() -> None:
    def unknown(*_: object) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(Unavailable, match="is not in the DNS"):
        TlsHostProbe("", resolve=unknown).probe_host(HostTarget(HOST))


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.0.0.4", "::1", "fd00::1"])
def test_an_ingress_does_not_make_us_connect_to_what_is_not_public(address: str) -> None:
    probe = TlsHostProbe("", resolve=lambda *_: [address])
    with pytest.raises(Refused, match="not public"):
        probe.probe_host(HostTarget(HOST, named=False))


def test_the_public_roots_are_there() -> None:
    assert connect()._checking_context(HostTarget(HOST)).cert_store_stats()["x509_ca"] > 100
