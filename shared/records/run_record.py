"""The record of one run of one job, as it lies in a blob under `runs/`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.kernel.errors import Corrupt


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run of one job."""

    job: str
    id: str
    state: str  # `running`, `done`, `failed` or `skipped`
    started: datetime
    updated: datetime  # when the record was last written
    summary: str  # one sentence, for people
    done: int = 0  # in `unit`
    total: int = 0  # in `unit`; 0 if unknown
    unit: str = ""  # `bytes`, or what else is counted
    error: str = ""  # why it failed
    details: dict[str, Any] = field(default_factory=dict)  # whatever else the job tells


def parse_run(data: bytes, name: str) -> RunRecord:
    """The record in the blob of that name. Raises Corrupt."""
    try:
        fields = json.loads(data)
        fields |= {key: datetime.fromisoformat(fields[key]) for key in ("started", "updated")}
        return RunRecord(**fields)
    except (ValueError, TypeError, KeyError) as error:
        raise Corrupt(f"{name} is not a run record", value=error) from error
