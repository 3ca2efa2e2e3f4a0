"""Deploys that cannot begin, since the settings that they need are wrong: they go on record all the same.

A merge that was accepted must not vanish with its message. On record it is shown by the deploy page and
`groundcrew deploy history`, and `sweep` takes it up as soon as the settings are right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from shared.deploy.progress import DeployState
from shared.deploy.records.deploys import DeployStore
from shared.deploy.records.requests import parse_request
from shared.kernel.errors import GroundcrewError


def record_unstarted(
    deploys: DeployStore, documents: Sequence[Mapping[str, Any]], error: GroundcrewError
) -> str:
    """Record each deploy with the reason why it cannot begin; what was done.

    One that has begun before is left as it is: whoever holds its lease writes it. Raises UsageError for what
    is no request.
    """
    requests = [parse_request(document) for document in documents]
    for request in requests:
        record = deploys.create_or_load(request)
        if record.state is DeployState.QUEUED:
            reason = f"cannot begin: {error.public}"
            deploys.save(replace(record, progress=replace(record.progress, reason=reason)))
    commits = ", ".join(request.sha[:7] for request in requests)
    return f"recorded {commits}: it begins when the settings are right"
