"""What reads bytes of others, each with a corpus of good ones; it may raise our errors, and no others."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import bson
from cryptography.hazmat.primitives.serialization import Encoding

from local.github import GitHubServer, webhooks
from local.host.ncrontab import TimerSchedule
from shared.alerts.parse import parse_payload
from shared.chatops.grammar import parse_command
from shared.deploy.webhook.event import DeployTarget, read_event
from shared.formats import age, sops
from shared.formats.agekeys import generate_identity, parse_identities, parse_recipient
from shared.formats.archive import OPLOG, ArchiveHeader, ArchiveWriter, PreludeEntry
from shared.formats.archive_reader import ArchiveReader
from shared.formats.chartyaml import read_manifests, read_values
from shared.formats.diff import apply_update
from shared.formats.documents import gather_array, split_documents
from shared.formats.elements import locate_value, split_elements
from shared.formats.envelope import PartWriter, read_part
from shared.formats.helm_release import unpack_release
from shared.formats.manifest import verify_manifest
from shared.formats.sops_writer import SealRules, seal
from shared.formats.tarball import read_files
from shared.formats.x509 import parse_pem_certificates
from shared.kernel.errors import Corrupt
from shared.mongodb.oplog import find_hazard, unpack_operations
from shared.policy import parse_policy
from shared.power.overrides import parse_override
from shared.power.times import parse_end
from tests.support.certificates import issue
from tests.support.signed_sets import SIGNER

ROOT = Path(__file__).resolve().parent.parent.parent
SECRET, RECIPIENT = generate_identity(post_quantum=False)
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@dataclass(frozen=True, slots=True)
class FuzzTarget:
    """A reader of bytes, and good ones for it."""

    read: Callable[[bytes], object]
    make_corpus: Callable[[], list[bytes]]


def _consume(items: Iterable[object]) -> None:
    for _ in items:
        pass


def _as_text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    """Readers of text are given what is left when bytes were decoded; broken UTF-8 is refused before them."""
    return lambda data: read(data.decode("utf-8", "replace"))


@cache
def _archive() -> bytes:
    pieces: list[bytes] = []
    writer = ArchiveWriter(
        pieces.append,
        ArchiveHeader("8.0.4", "fuzz"),
        [PreludeEntry("db", "c", "{}"), PreludeEntry(*OPLOG, "", "")],
    )
    writer.documents("db", "c", bson.encode({"_id": 1, "a": [1, {"b": "text"}]}) * 2)
    writer.end("db", "c")
    writer.documents(*OPLOG, _entries()[0])
    writer.end(*OPLOG)
    return b"".join(pieces)


@cache
def _entries() -> list[bytes]:
    ts, wall = bson.Timestamp(100, 1), datetime(2026, 3, 2, tzinfo=UTC)
    common = {"ts": ts, "t": 1, "v": 2, "wall": wall, "ui": bson.Binary(bytes(16), 4)}
    update = {"$v": 2, "diff": {"u": {"a": 2}, "sa": {"a": True, "u0": 1, "l": 3}, "d": {"b": False}}}
    nested = {"op": "i", "ns": "db.c", "o": {"_id": 3}, "ui": bson.Binary(bytes(16), 4)}
    entries = [
        {**common, "op": "i", "ns": "db.c", "o": {"_id": 1}},
        {**common, "op": "u", "ns": "db.c", "o": update, "o2": {"_id": 1}},
        {**common, "op": "d", "ns": "db.c", "o": {"_id": 1}},
        {
            **common,
            "op": "c",
            "ns": "admin.$cmd",
            "o": {"applyOps": [nested], "partialTxn": True},
            "txnNumber": 1,
        },
        {**common, "op": "c", "ns": "db.$cmd", "o": {"renameCollection": "db.c", "to": "db.d"}},
        {
            **common,
            "op": "c",
            "ns": "db.$cmd",
            "o": {"createIndexes": "c", "v": 2, "key": {"a": 1}, "name": "a_1"},
        },
    ]
    return [bson.encode(entry) for entry in entries]


def _stored_part() -> list[bytes]:
    pieces: list[bytes] = []
    writer = PartWriter(pieces.append, [parse_recipient(RECIPIENT)], level=1, threads=0)
    writer.write(_archive())
    writer.finish()
    return [b"".join(pieces)]


def _manifests() -> list[bytes]:
    from local.fakes.blobs import MemoryBlobs
    from tests.support.signed_sets import put_sealed

    blobs = MemoryBlobs()
    folder = put_sealed(blobs, NOW)
    return [blobs.read(f"{folder}manifest.json")[0]]


def _tarballs() -> list[bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("top/values.yaml", "top/chart/Chart.yaml"):
            info = tarfile.TarInfo(name)
            info.size = 3
            archive.addfile(info, io.BytesIO(b"a: "))
    return [gzip.compress(buffer.getvalue(), mtime=0)]


def _sealed_files() -> list[bytes]:
    text = "a: 1\nb:\n  - text # why\n  - 2.5\nc: null\n"
    return [seal(text, "values.yaml", [RECIPIENT], SealRules(), NOW).encode()]


def _webhooks() -> list[bytes]:
    with GitHubServer() as server:
        repository = server.repository("acme/chat")
        repository.commit({"values.yaml": b"a: 1\n"})
        repository.branch("change")
        pull = repository.open_pull("change")
        repository.merge(pull)
        payload = webhooks.pull_request(repository, pull, "https://github.example")
    return [webhooks.encode_payload(payload)]


def _read_webhook(data: bytes) -> object:
    targets = [DeployTarget("acme/chat", "main", "production")]
    for event in ("pull_request", "push", "pull_request_review", "ping"):
        headers = {"X-GitHub-Delivery": "0" * 8 + "-0000-0000-0000-" + "0" * 12, "X-GitHub-Event": event}
        read_event(data, {**headers, "Content-Type": "application/json"}, targets)
    return None


def _alerts() -> list[bytes]:
    alert = {
        "status": "firing",
        "labels": {"alertname": "Down"},
        "annotations": {},
        "startsAt": NOW.isoformat(),
    }
    essentials = {
        "alertRule": "cpu",
        "alertId": "1",
        "severity": "Sev1",
        "monitorCondition": "Fired",
        "firedDateTime": NOW.isoformat(),
    }
    return [
        json.dumps({"version": "4", "groupKey": "{}", "status": "firing", "alerts": [alert]}).encode(),
        json.dumps(
            {"schemaId": "azureMonitorCommonAlertSchema", "data": {"essentials": essentials}}
        ).encode(),
    ]


def _certificates() -> list[bytes]:
    return [issue("chat.example.org", "chat.example.org").certificate.public_bytes(Encoding.PEM)]


def _releases() -> list[bytes]:
    import base64

    packed = gzip.compress(json.dumps({"name": "chat", "version": 1}).encode(), mtime=0)
    return [base64.b64encode(base64.b64encode(packed))]


def _read_reply(data: bytes) -> object:
    at = locate_value(data, b"cursor", b"nextBatch")
    return gather_array(data, *at) if at else None


def _read_entries(data: bytes) -> None:
    for entry in split_documents(data):
        find_hazard(entry)
    _consume(unpack_operations(split_documents(data)))


def _update(data: bytes) -> object:
    documents = list(split_documents(data))
    if len(documents) != 2:
        raise Corrupt("not two documents")
    return apply_update(*documents)


def _texts(*texts: str) -> Callable[[], list[bytes]]:
    return lambda: [text.encode() for text in texts]


def _identities() -> list[object]:
    return parse_identities(SECRET)  # type: ignore[return-value]


TARGETS: dict[str, FuzzTarget] = {
    "archive": FuzzTarget(lambda d: _consume(ArchiveReader(iter([d]), name="f")), lambda: [_archive()]),
    "part": FuzzTarget(lambda d: _consume(read_part(iter([d]), _identities(), name="f")), _stored_part),  # type: ignore[arg-type]
    "age": FuzzTarget(lambda d: _consume(age.decrypt(iter([d]), _identities(), name="f")), _stored_part),  # type: ignore[arg-type]
    "reply": FuzzTarget(
        _read_reply,
        lambda: [bson.encode({"cursor": {"id": 1, "nextBatch": [{"_id": 1}, {"a": "b"}]}, "ok": 1})],
    ),
    "elements": FuzzTarget(lambda d: _consume(split_elements(d)), _entries),
    "oplog": FuzzTarget(_read_entries, _entries),
    "update": FuzzTarget(
        _update,
        lambda: [
            bson.encode({"_id": 1, "a": [1, 2], "s": {"x": 1}}) + bson.encode(bson.decode(e)["o"])
            for e in _entries()
        ],
    ),
    "manifest": FuzzTarget(
        lambda d: verify_manifest(d, name="f", trusted=(SIGNER.public_text(),)), _manifests
    ),
    "tarball": FuzzTarget(lambda d: read_files([d], ["."]), _tarballs),
    "sops": FuzzTarget(_as_text(lambda t: sops.decrypt(t, "f", _identities())), _sealed_files),  # type: ignore[arg-type]
    "values": FuzzTarget(
        _as_text(lambda t: read_values(t, "f")), _texts("a: 1\nb: {c: [1, 2.5, null]}\n", "&x a: *x\n")
    ),
    "manifests": FuzzTarget(
        _as_text(read_manifests), _texts("kind: Pod\nmetadata: {name: a}\n---\nkind: List\nitems: []\n")
    ),
    "helm release": FuzzTarget(_as_text(unpack_release), _releases),
    "policy": FuzzTarget(_as_text(parse_policy), lambda: [(ROOT / "policy.yaml").read_bytes()]),
    "webhook": FuzzTarget(_read_webhook, _webhooks),
    "alerts": FuzzTarget(parse_payload, _alerts),
    "certificates": FuzzTarget(lambda d: parse_pem_certificates(d, "f"), _certificates),
    "chat command": FuzzTarget(
        _as_text(parse_command),
        _texts(
            "up until 20:00",
            "deploy #12",
            "silence alerts for 2h because upgrade",
            "approve 0123456789abcdef",
        ),
    ),
    "order of power": FuzzTarget(
        _as_text(lambda t: parse_override(t, BERLIN, NOW)),
        _texts(
            "up until 22:00",
            "off until Monday 7:00",
            "up for 2h",
            "up Saturday 10-14",
            "up until next monday",
        ),
    ),
    "end of a time": FuzzTarget(
        _as_text(lambda t: parse_end(t, BERLIN, NOW)),
        _texts("next monday", "midnight", "18:30", "2026-03-02t07:00"),
    ),
    "ncrontab": FuzzTarget(
        _as_text(TimerSchedule.parse), _texts("0 */5 * * * *", "0 30 2 * * Mon-Fri", "0 0 0 1,15 Jan *")
    ),
}
