"""A freeze: nothing may be deployed, rolled back or corrected while the chat's database moves.

One blob, so that it outlasts the process that put it there: a deploy in the middle of a cut-over would start
the chat on a server that is no longer, or not yet, the one that holds its data.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import Corrupt, NotFound
from shared.kernel.ports import Blobs
from shared.kernel.timestamps import parse_timestamp

log = logging.getLogger(__name__)

BLOB = "freezes/deploys.json"


@dataclass(frozen=True, slots=True)
class DeployFreeze:
    """Why nothing is deployed now, by whom and since when; None if the blob does not tell."""

    reason: str
    by: str
    since: datetime | None


def freeze_deploys(state: Blobs, freeze: DeployFreeze) -> None:
    """From now on nothing new is deployed. Done again it changes nothing but the reason."""
    state.replace(BLOB, encode_json(freeze), etag=None)
    log.info("deploy.frozen", extra={"reason": freeze.reason, "by": freeze.by})


def unfreeze_deploys(state: Blobs) -> None:
    """Deploys go on. Without a freeze this is fine."""
    state.delete(BLOB)
    log.info("deploy.unfrozen", extra={"blob": BLOB})


def read_deploy_freeze(state: Blobs) -> DeployFreeze | None:
    """The freeze in force. One that cannot be read is one: deploying into a move is worse than waiting."""
    try:
        fields = decode_json(state.read(BLOB)[0], BLOB)
        return DeployFreeze(str(fields["reason"]), str(fields["by"]), parse_timestamp(fields["since"]))
    except NotFound:
        return None
    except (Corrupt, KeyError, ValueError, TypeError) as error:
        log.warning("deploy.freeze_unreadable", extra={"blob": BLOB, "error": str(error)})
        return DeployFreeze(f"{BLOB} cannot be read", "", None)
