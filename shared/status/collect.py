"""The one place that gathers what is known: every part by itself, so that one that fails hides no other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from shared.kernel.errors import GroundcrewError
from shared.status.model import NotSetUp, Part, Status

log = logging.getLogger(__name__)

Readers = Mapping[str, Callable[[], object]]
"""By the name of a part of `Status`: reads it. Raises GroundcrewError; NotSetUp for nothing to read."""


def collect_status(readers: Readers, now: datetime, version: str) -> Status:
    """What is known now. A part without a reader is not set up."""
    parts: dict[str, Any] = {name: _read_part(name, read) for name, read in readers.items()}
    return Status(now, version, **parts)


def _read_part(name: str, read: Callable[[], object]) -> Part[Any]:
    try:
        return Part(read())
    except NotSetUp as error:
        return Part(absent=error.message)
    except GroundcrewError as error:
        log.warning("status.part_unreadable", extra={"part": name, "error": str(error)})
        # Without the value: the page may be open on a screen in a corridor.
        return Part(problem=error.public)
    except Exception as error:  # a bug in one part must not hide the others from somebody who was woken
        log.exception("status.internal_error", extra={"part": name})
        return Part(problem=f"internal error ({type(error).__name__})")
