"""Request bodies in `application/vnd.kubernetes.protobuf`, of the few kinds that clients send so.

Helm 4 writes its release secrets in protobuf and does not fall back to JSON; answers may be JSON.
Field numbers: generated.proto of k8s.io/api/core/v1 and k8s.io/apimachinery/pkg/apis/meta/v1.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from local.kubernetes.errors import Object, bad_request

MAGIC = b"k8s\x00"
MEDIA_TYPE = "application/vnd.kubernetes.protobuf"

# Field number: (name, kind). A kind is a scalar, a message of _MESSAGES, `map:` of a scalar, or with `[]`.
_MESSAGES: Mapping[str, Mapping[int, tuple[str, str]]] = {
    "Unknown": {1: ("type", "TypeMeta"), 2: ("raw", "bytes"), 3: ("encoding", "string")},
    "Timestamp": {1: ("seconds", "int")},
    "TypeMeta": {1: ("apiVersion", "string"), 2: ("kind", "string")},
    "ObjectMeta": {
        1: ("name", "string"),
        2: ("generateName", "string"),
        3: ("namespace", "string"),
        5: ("uid", "string"),
        6: ("resourceVersion", "string"),
        7: ("generation", "int"),
        8: ("creationTimestamp", "Time"),
        9: ("deletionTimestamp", "Time"),
        10: ("deletionGracePeriodSeconds", "int"),
        11: ("labels", "map:string"),
        12: ("annotations", "map:string"),
        13: ("ownerReferences", "[]OwnerReference"),
        14: ("finalizers", "[]string"),
    },
    "OwnerReference": {
        1: ("kind", "string"),
        3: ("name", "string"),
        4: ("uid", "string"),
        5: ("apiVersion", "string"),
        6: ("controller", "bool"),
        7: ("blockOwnerDeletion", "bool"),
    },
    "Secret": {
        1: ("metadata", "ObjectMeta"),
        2: ("data", "map:base64"),
        3: ("type", "string"),
        4: ("stringData", "map:string"),
        5: ("immutable", "bool"),
    },
    "ConfigMap": {
        1: ("metadata", "ObjectMeta"),
        2: ("data", "map:string"),
        3: ("binaryData", "map:base64"),
        4: ("immutable", "bool"),
    },
    "Namespace": {1: ("metadata", "ObjectMeta")},
    "SelfSubjectReview": {1: ("metadata", "ObjectMeta")},
    "SelfSubjectAccessReview": {1: ("metadata", "ObjectMeta"), 2: ("spec", "AccessReviewSpec")},
    "AccessReviewSpec": {
        1: ("resourceAttributes", "ResourceAttributes"),
        2: ("nonResourceAttributes", "NonResourceAttributes"),
    },
    "ResourceAttributes": {
        number: (name, "string")
        for number, name in enumerate(
            ("namespace", "verb", "group", "version", "resource", "subresource", "name"), start=1
        )
    },
    "NonResourceAttributes": {1: ("path", "string"), 2: ("verb", "string")},
    # k8s.io/api/authentication/v1: what `kubectl create token` sends.
    "TokenRequest": {1: ("metadata", "ObjectMeta"), 2: ("spec", "TokenRequestSpec")},
    "TokenRequestSpec": {
        1: ("audiences", "[]string"),
        3: ("boundObjectRef", "BoundObjectReference"),
        4: ("expirationSeconds", "int"),
    },
    "BoundObjectReference": {
        1: ("kind", "string"),
        2: ("apiVersion", "string"),
        3: ("name", "string"),
        4: ("uid", "string"),
    },
    "DeleteOptions": {
        1: ("gracePeriodSeconds", "int"),
        2: ("preconditions", "Preconditions"),
        3: ("orphanDependents", "bool"),
        4: ("propagationPolicy", "string"),
        5: ("dryRun", "[]string"),
    },
    "Preconditions": {1: ("uid", "string"), 2: ("resourceVersion", "string")},
}


def decode_envelope(body: bytes) -> Object:
    """The object in an envelope. Raises `ApiError` 400 for damaged bytes and for kinds not listed above."""
    if not body.startswith(MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message")
    try:
        envelope = _decode_message(body[len(MAGIC) :], "Unknown")
        meta = envelope["type"]
        kind = meta["kind"]
        if kind not in _MESSAGES:
            raise bad_request(f"no kind {kind!r} is read from protobuf here; send JSON")
        return {**meta, **_decode_message(envelope.get("raw", b""), kind)}
    except (IndexError, KeyError, ValueError, OverflowError, OSError) as error:
        raise bad_request("provided data is not a well-formed protobuf message") from error


def _decode_message(data: bytes, kind: str) -> dict[str, Any]:
    known = _MESSAGES[kind]
    fields: dict[str, Any] = {}
    for number, value in _iterate_fields(data):
        if number not in known:
            continue
        name, what = known[number]
        if what.startswith("map:"):
            key, item = _decode_entry(value, what[4:])
            fields.setdefault(name, {})[key] = item
        elif what.startswith("[]"):
            fields.setdefault(name, []).append(_decode_value(value, what[2:]))
        else:
            fields[name] = _decode_value(value, what)
    # Go writes empty strings and zero times where JSON has nothing.
    return {name: value for name, value in fields.items() if value not in ("", None)}


def _decode_entry(data: Any, kind: str) -> tuple[str, Any]:
    if isinstance(data, int):
        raise ValueError("a number where an entry should be")  # noqa: TRY004 - a damaged body, told as such
    pair = dict(_iterate_fields(data))
    return _decode_value(pair.get(1, b""), "string"), _decode_value(pair.get(2, b""), kind)


def _decode_value(raw: Any, kind: str) -> Any:
    if isinstance(raw, int) is not (kind in ("bool", "int")):
        raise ValueError("the wire type does not fit the field")
    match kind:
        case "string":
            return raw.decode()
        case "bytes":
            return raw
        case "base64":
            return base64.b64encode(raw).decode()
        case "bool":
            return bool(raw)
        case "int":
            return raw - (1 << 64) if raw >= 1 << 63 else raw
        case "Time":
            seconds = _decode_message(raw, "Timestamp").get("seconds")
            return seconds and datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return _decode_message(raw, kind)


def _iterate_fields(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _read_varint(data, at)
            yield number, value
            continue
        length, at = _read_varint(data, at) if wire == 2 else ({1: 8, 5: 4}[wire], at)
        if at + length > len(data):
            raise IndexError(at)
        yield number, data[at : at + length]
        at += length


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError(at)
