"""Disks made for checks of snapshots, and the sight to it that none of them is left behind.

Two things see to that: the tags that the disk carries, and a mark in the state that says when to look, so
that the ticks in between ask Azure nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from shared.cloud.disks import Disk, Disks
from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import GroundcrewError
from shared.kernel.ports import Blobs, Clock
from shared.kernel.timestamps import parse_timestamp
from shared.snapshots.check.decide import is_expired_test_disk

log = logging.getLogger(__name__)

OWNER = "groundcrew"
_RECORDS = "snapshots/checks/"


@dataclass(frozen=True)
class TestDiskReaper:
    """The marks, and the removal of what was forgotten."""

    disks: Disks
    state: Blobs
    clock: Clock

    def register(self, name: str, until: datetime) -> None:
        """Before the disk is made: when it is to be looked for."""
        self.state.replace(f"{_RECORDS}{name}.json", encode_json({"until": until.isoformat()}), etag=None)

    def unregister(self, name: str) -> None:
        """The disk is gone."""
        self.state.delete(f"{_RECORDS}{name}.json")

    def is_due(self) -> bool:
        """Whether a check should be over by now whose disk may still be there. Asks Azure nothing."""
        return any(self._expired_records())

    def remove_expired(
        self, disks: Iterable[Disk], check: Callable[[], None] = lambda: None
    ) -> tuple[list[str], list[str]]:
        """Remove those of the listed disks whose time is over: names, and a sentence for each failure.

        `check` is called before each removal and may raise.
        """
        now = self.clock.now()
        removed: list[str] = []
        problems: list[str] = []
        expired = list(self._expired_records())
        for disk in disks:
            if not is_expired_test_disk(disk.tags, disk.attached_to, now, owner=OWNER):
                continue
            check()
            try:
                self.disks.delete_disk(disk.id)
            except GroundcrewError as error:
                problems.append(str(error))
                continue
            removed.append(disk.name)
            log.warning("snapshots.test_disk_removed", extra={"disk": disk.name})
        # Else the marks stay, and the next tick looks again: a disk that is paid for is not forgotten for one
        # refusal.
        if not problems:
            for record_name in expired:
                self.state.delete(record_name)
        return removed, problems

    def _expired_records(self) -> Iterable[str]:
        for blob in self.state.list(_RECORDS):
            try:
                until = parse_timestamp(decode_json(self.state.read(blob.name)[0], blob.name)["until"])
            except (GroundcrewError, ValueError, TypeError, KeyError):
                until = self.clock.now()  # better a look too many
            if until <= self.clock.now():
                yield blob.name
