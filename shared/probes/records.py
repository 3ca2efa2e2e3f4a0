"""The newest look, in one blob: for the status, the metrics and the next look."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import Corrupt, NotFound
from shared.kernel.ports import Blobs
from shared.kernel.timestamps import parse_timestamp
from shared.probes.model import ProbeName, ProbeOutcome, ProbeRun, ProbeStatus

log = logging.getLogger(__name__)

_BLOB = "probes/last.json"


@dataclass(frozen=True, slots=True)
class ProbeRecord:
    """What is kept: the newest look, and since when people know what fails."""

    run: ProbeRun
    told: Mapping[ProbeName, datetime] = field(default_factory=dict)


def load_probes(state: Blobs) -> ProbeRecord | None:
    """The record; None before the first look, and if it cannot be read, which is logged."""
    try:
        fields = decode_json(state.read(_BLOB)[0], _BLOB)
        told = {ProbeName(name): parse_timestamp(since) for name, since in fields["told"].items()}
        return ProbeRecord(_parse_run(fields["run"]), told)
    except NotFound:
        return None
    except (Corrupt, ValueError, TypeError, KeyError, AttributeError) as error:
        # The next look begins anew: people are told once more, and nothing is compared.
        log.warning("probes.record_unreadable", extra={"blob": _BLOB, "error": type(error).__name__})
        return None


def save_probes(state: Blobs, record: ProbeRecord) -> None:
    """Write over the one before. The caller holds the lease."""
    told = {str(name): since for name, since in record.told.items()}
    state.replace(_BLOB, encode_json({"run": asdict(record.run), "told": told}), etag=None)


def _parse_run(fields: Mapping[str, Any]) -> ProbeRun:
    outcomes = tuple(
        ProbeOutcome(ProbeName(one["name"]), ProbeStatus(one["status"]), str(one["reason"]))
        for one in fields["outcomes"]
    )
    sign_in = tuple(map(str, fields["sign_in"]))
    return ProbeRun(parse_timestamp(fields["at"]), str(fields["trigger"]), outcomes, sign_in)
