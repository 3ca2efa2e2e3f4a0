"""A request to deploy a commit, as the queue carries it and the record of the deploy keeps it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from shared.deploy.model import REPOSITORY, SHA
from shared.deploy.ordering import deploy_key
from shared.kernel.errors import UsageError

_ID = re.compile(r"[0-9A-Za-z-]{0,64}", re.ASCII)
PLAN = "plan"  # the `rerun` of a request that is only planned
_OLD_KEYS = {"again": "rerun", "turn": "sequence"}  # keys that earlier versions wrote


@dataclass(frozen=True, slots=True)
class DeployRequest:
    """A commit to be deployed to an environment of policy."""

    repository: str  # owner/name on GitHub
    sha: str  # the full SHA of the commit
    environment: str  # one of policy's
    pull: int = 0  # the number of the pull request that was merged; 0 where it has to be found
    delivery: str = ""  # the id of the webhook's delivery; empty if no webhook asked
    rerun: str = ""  # what tells a repetition from the first deploy of the commit; empty in the first
    sequence: int = 0  # counts the messages by which a waiting deploy goes on; 0 in one that asks for it

    @property
    def is_plan(self) -> bool:
        """Whether it only asks what a deploy would do: an open pull request may be meant then, too."""
        return self.rerun == PLAN

    @property
    def key(self) -> str:
        """The name of the deploy: the same for all events about one commit."""
        key = deploy_key(self.repository, self.sha, self.environment)
        return f"{key}-{self.rerun}" if self.rerun else key

    def to_message(self) -> str:
        """The JSON text that the queue carries."""
        return json.dumps(asdict(self))


def read_request(document: Mapping[str, Any]) -> DeployRequest:
    """The request in a stored record, unchecked; unknown keys of a newer version are dropped.

    Raises TypeError if one is missing.
    """
    renamed = {_OLD_KEYS.get(name, name): value for name, value in document.items()}
    return DeployRequest(
        **{name: renamed[name] for name in DeployRequest.__dataclass_fields__ if name in renamed}
    )


def parse_request(document: Mapping[str, Any]) -> DeployRequest:
    """The request in a message, checked. Raises UsageError for anything else."""
    try:
        request = read_request(document)
        texts = (request.repository, request.sha, request.environment, request.delivery, request.rerun)
        # Whoever can write to the queue can put anything here; these become names of blobs.
        valid = all(isinstance(text, str) for text in texts)
        # `type`, since a bool is an int: true must not count as pull request 1.
        valid = valid and type(request.pull) is int and type(request.sequence) is int
    except TypeError:
        valid = False
    if not valid or not (REPOSITORY.fullmatch(request.repository) and SHA.fullmatch(request.sha)):
        raise UsageError("invalid queue message: no repository and commit", hint=_POISON)
    if not all(_ID.fullmatch(text) for text in (request.delivery, request.rerun)):
        raise UsageError("invalid queue message: malformed id", hint=_POISON)
    return request


_POISON = "It is moved to the poison queue."
