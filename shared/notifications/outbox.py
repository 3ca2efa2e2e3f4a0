"""The outbox: notices that wait for a channel, one blob per group under `notifications/outbox/`.

A group is changed only if it is unchanged since it was read, so that of two that add, claim or complete at
the same time none undoes the other. An empty group is an empty object, which a listing shows by its size: no
blob is ever deleted, since a deletion cannot ask whether something was added meanwhile.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import AlreadyExists, Conflict, Corrupt, NotFound, Unavailable
from shared.kernel.ports import Blobs, Clock
from shared.kernel.timestamps import parse_optional_timestamp, parse_timestamp
from shared.notifications.decide import (
    add_notices,
    build_entry,
    claim_group,
    complete_group,
    is_due,
    postpone_group,
)
from shared.notifications.model import Batch, Entry, Notice, PendingGroup, Severity

log = logging.getLogger(__name__)

CLAIM_TIMEOUT = timedelta(minutes=2)
"""After which a sender counts as dead: longer than an attempt over all routes may take."""

_FOLDER = "notifications/outbox/"
_EMPTY = b"{}"
# Each loss means that somebody else's write went through; more senders than that are not at work at once.
_ATTEMPTS = 20


class Outbox:
    """Stores notices until somebody says that a channel took them. Safe for threads and processes."""

    def __init__(self, blobs: Blobs, clock: Clock) -> None:
        self._blobs, self._clock = blobs, clock
        # Threads of one process would only make each other read again.
        self._lock = threading.Lock()

    def add(self, notices: Sequence[Notice], *, wait: timedelta = timedelta()) -> bool:
        """Store notices of one group; whether they are the first that wait there.

        `wait` is how long others may join before it is sent. Raises `Unavailable` if others keep writing.
        """
        now, first = self._clock.now(), notices[0]
        entries = [build_entry(notice, now) for notice in notices]
        before = PendingGroup("", "")

        def change(group: PendingGroup) -> PendingGroup:
            nonlocal before
            before = group
            return add_notices(group, entries, now, wait)

        self._update(first.group_name, first.topic_name, change)
        return before.is_empty

    def list_pending(self) -> Iterator[str]:
        """The names of the groups that may have something to send."""
        for blob in self._blobs.list(_FOLDER):
            # From the listing alone: reading every empty group would cost a call each at every tick.
            if blob.stored_bytes > len(_EMPTY):
                yield blob.name.removeprefix(_FOLDER).removesuffix(".json")

    def load(self, name: str) -> PendingGroup:
        """The group as it is stored; an empty one if there is none that can be read."""
        return self._read(name, "")[0]

    def claim(self, name: str) -> PendingGroup | None:
        """Take what is due for one attempt; None if nothing is, or somebody else has it."""
        now, token = self._clock.now(), uuid.uuid4().hex

        def change(group: PendingGroup) -> PendingGroup:
            return claim_group(group, token, now + CLAIM_TIMEOUT) if is_due(group, now) else group

        group = self._update(name, "", change)
        # By a token of this call: two senders of one process are two.
        return group if group.claim == token else None

    def complete(self, claimed: PendingGroup) -> None:
        """A channel took what was claimed."""
        self._update(claimed.name, claimed.topic, _if_held(claimed, complete_group))

    def postpone(self, claimed: PendingGroup, until: datetime, *, failed: bool) -> None:
        """What was claimed stays, for an attempt at the moment `until`."""
        self._update(
            claimed.name, claimed.topic, _if_held(claimed, lambda g: postpone_group(g, until, failed=failed))
        )

    def _update(self, name: str, topic: str, change: Callable[[PendingGroup], PendingGroup]) -> PendingGroup:
        with self._lock:
            for _ in range(_ATTEMPTS):
                group, etag = self._read(name, topic)
                changed = change(group)
                # Nothing to claim is the common case: it costs no write.
                if changed == group:
                    return group
                try:
                    self._write(changed, etag)
                # Somebody else was faster: what they wrote is read, and ours added to it.
                except (AlreadyExists, Conflict):
                    continue
                return changed
        raise Unavailable(f"{_FOLDER}{name}.json keeps changing", hint="It is tried again.")

    def _read(self, name: str, topic: str) -> tuple[PendingGroup, str | None]:
        try:
            data, etag = self._blobs.read(f"{_FOLDER}{name}.json")
        except NotFound:
            return PendingGroup(name, topic), None
        try:
            return _parse_group(name, topic, decode_json(data, name)), etag
        except Corrupt as error:
            # What is no group of ours cannot be sent, and must not keep later notices from being stored.
            log.warning("notification.group_unreadable", extra={"group": name, "error": str(error)})
            return PendingGroup(name, topic), etag

    def _write(self, group: PendingGroup, etag: str | None) -> None:
        data = _EMPTY if group.is_empty else encode_json(group)
        if etag is None:
            self._blobs.create(f"{_FOLDER}{group.name}.json", data)
        else:
            self._blobs.replace(f"{_FOLDER}{group.name}.json", data, etag=etag)


def _if_held(
    claimed: PendingGroup, change: Callable[[PendingGroup], PendingGroup]
) -> Callable[[PendingGroup], PendingGroup]:
    """Only while the claim is ours: one that took too long has been taken over."""
    return lambda group: change(group) if group.claim == claimed.claim else group


def _parse_group(name: str, topic: str, fields: Mapping[str, Any]) -> PendingGroup:
    try:
        return PendingGroup(
            name,
            topic or str(fields.get("topic", "")),
            waiting=_parse_batch(fields.get("waiting", {})),
            sending=_parse_batch(fields.get("sending", {})),
            since=parse_optional_timestamp(fields.get("since")),
            not_before=parse_optional_timestamp(fields.get("not_before")),
            claimed_until=parse_optional_timestamp(fields.get("claimed_until")),
            claim=str(fields.get("claim", "")),
            attempts=int(fields.get("attempts", 0)),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Corrupt(f"{_FOLDER}{name}.json is no group of notices", value=error) from error


def _parse_batch(fields: Mapping[str, Any]) -> Batch:
    entries = tuple(_parse_entry(entry) for entry in fields.get("entries", ()))
    return Batch(entries, {str(title): int(count) for title, count in fields.get("more", {}).items()})


def _parse_entry(fields: Mapping[str, Any]) -> Entry:
    return Entry(
        Severity(fields["severity"]),
        str(fields["title"]),
        str(fields["text"]),
        str(fields["hint"]),
        str(fields["key"]),
        bool(fields["resolved"]),
        parse_timestamp(fields["at"]),
        tuple((str(label), str(value)) for label, value in fields.get("fields", ())),
        int(fields.get("count", 1)),
    )
