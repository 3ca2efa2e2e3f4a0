"""What was wrong with the settings of each job when `catch_up` last looked, in one small blob.

The page must not build every job to find out: that imports every SDK there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import Corrupt, NotFound
from shared.kernel.ports import Blobs
from shared.status.model import NotSetUp

_BLOB = "status/settings.json"


def save_settings_report(state: Blobs, now: datetime, jobs: Mapping[str, str]) -> None:
    """By job `ok`, or what is wrong with its settings."""
    state.replace(_BLOB, encode_json({"at": now, "jobs": dict(jobs)}), etag=None)


def read_settings(state: Blobs) -> Mapping[str, str]:
    """The same. Raises NotSetUp before the first look, and Corrupt."""
    try:
        jobs = decode_json(state.read(_BLOB)[0], _BLOB)["jobs"]
    except NotFound:
        raise NotSetUp("catch_up has not looked yet") from None
    except KeyError as error:
        raise Corrupt(f"{_BLOB} is not a report of settings") from error
    if not isinstance(jobs, dict):
        raise Corrupt(f"{_BLOB} is not a report of settings", value=type(jobs).__name__)
    return {str(job): str(text) for job, text in jobs.items()}
