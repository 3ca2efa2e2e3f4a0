"""Two people for what cannot be undone: a request that another person has to agree to, under `approvals/`.

A request's id is the hash of the action, its arguments, who asks and its end, so that what was agreed to is
what is done, and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import AlreadyExists, Conflict, Corrupt, NotFound, Refused
from shared.kernel.ports import Blobs, Clock
from shared.kernel.timestamps import parse_timestamp

log = logging.getLogger(__name__)

_PREFIX = "approvals/"
_KEPT = timedelta(days=90)  # the audit trail keeps who agreed to what
_ID = re.compile(r"[0-9a-f]{16}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Approval:
    """What is asked for, by whom, until when, and who agreed (empty: nobody yet)."""

    id: str
    action: str
    arguments: Mapping[str, str]
    requester: str
    expires: datetime
    approver: str = ""
    used: bool = False


class Approvals:
    """Requests and their approvals in the container `groundcrew`."""

    def __init__(self, blobs: Blobs, clock: Clock) -> None:
        self._blobs, self._clock = blobs, clock

    def request(self, action: str, arguments: Mapping[str, str], *, by: str, lasting: timedelta) -> Approval:
        """Ask; the same thing asked again while it waits is the same request."""
        for one in self._open():
            if (one.action, dict(one.arguments), one.requester) == (action, dict(arguments), by):
                return one
        expires = (self._clock.now() + lasting).replace(microsecond=0)
        made = Approval(_hash(action, arguments, by, expires), action, dict(arguments), by, expires)
        try:
            self._blobs.create(_name(made.id), encode_json(made))
        except AlreadyExists:  # asked, and perhaps agreed to, in this very second
            return self._read(_name(made.id))[0]
        return made

    def approve(self, identity: str, *, by: str) -> Approval:
        """Agree. Raises NotFound; Refused for the requester, too late, or a request that was changed."""
        if not _ID.fullmatch(identity):
            raise NotFound("no such request", value=identity[:40])
        found, etag = self._read(_name(identity))
        if found.requester == by:
            raise Refused("one does not approve one's own request", value=by, hint="Ask somebody else.")
        if self._clock.now() >= found.expires:
            raise Refused("the request has expired", value=found.expires, hint="Ask again.")
        agreed = replace(found, approver=by)
        self._blobs.replace(_name(identity), encode_json(agreed), etag=etag)
        return agreed

    def use(self, action: str, arguments: Mapping[str, str]) -> Approval | None:
        """The approval of exactly this, which cannot be used a second time; None if there is none."""
        for one in self._open():
            if one.approver and (one.action, dict(one.arguments)) == (action, dict(arguments)):
                found, etag = self._read(_name(one.id))
                try:
                    self._blobs.replace(_name(one.id), encode_json(replace(found, used=True)), etag=etag)
                except Conflict:
                    continue
                return one
        return None

    def granted(self, action: str, arguments: Mapping[str, str]) -> Approval | None:
        """The approval of exactly this, which goes on to hold until its end; None if there is none."""
        for one in self._open():
            if one.approver and (one.action, dict(one.arguments)) == (action, dict(arguments)):
                return one
        return None

    def _open(self) -> list[Approval]:
        """What may still be agreed to or used. One that cannot be read is none."""
        found = []
        for blob in self._blobs.list(_PREFIX):
            if self._clock.now() - blob.last_modified > _KEPT:
                self._blobs.delete(blob.name)
                continue
            try:
                found.append(self._read(blob.name)[0])
            except (Corrupt, NotFound) as error:
                log.warning("approval.unreadable", extra={"blob": blob.name, "error": str(error)})
        return [one for one in found if not one.used and self._clock.now() < one.expires]

    def _read(self, name: str) -> tuple[Approval, str]:
        data, etag = self._blobs.read(name)
        plain = decode_json(data, name)
        try:
            made = Approval(**{**plain, "expires": parse_timestamp(plain["expires"])})
        except (ValueError, TypeError, KeyError) as error:
            raise Corrupt(f"{name} is no approval", value=type(error).__name__) from error
        if (
            made.id != _hash(made.action, made.arguments, made.requester, made.expires)
            or _name(made.id) != name
        ):
            raise Corrupt(f"{name} was changed after it was asked for")
        return made, etag


def _hash(action: str, arguments: Mapping[str, str], requester: str, expires: datetime) -> str:
    bound = json.dumps([action, dict(sorted(arguments.items())), requester, expires.isoformat()])
    return hashlib.sha256(bound.encode()).hexdigest()[:16]


def _name(identity: str) -> str:
    return f"{_PREFIX}{identity}.json"
