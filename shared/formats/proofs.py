"""The proof that a restore drill leaves: which set was restored, how it ended, how long it took. Signed."""

from __future__ import annotations

import re
from datetime import datetime
from typing import ClassVar

from shared.formats.backupset import OPTIME, SET_ID, require_place
from shared.formats.strict_json import require_form, strict_record

PROVEN, FAILED, INTERRUPTED = "proven", "failed", "interrupted"
_OUTCOME = re.compile(f"{PROVEN}|{FAILED}|{INTERRUPTED}")
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@strict_record
class DrillPhase:
    """One step of a drill and how long it took."""

    name: str  # as the restore's steps are called
    seconds: float


@strict_record
class DrillProof:
    """How one drill ended.

    `proven`: everything was equal. `failed`: the set is not what it should be, and `problem` names the
    first difference. `interrupted`: an outside system failed, so that nothing is known of the set.

    `manifest_sha256` binds it to the bytes that were restored: a set whose manifest is another is not the
    one that was proven. `until` is the moment to which the oplog was replayed, `seconds.ordinal`.
    """

    format: int
    run: str  # when the drill began, UTC, as a set's id
    set: str  # that was restored
    klass: str  # of the set; with its id the blob's folder
    manifest_sha256: str
    outcome: str  # one of the three above
    problem: str  # empty if proven
    until: str
    slices: int  # of captured oplog that were replayed on top of the set's own
    started: datetime  # from which on data would have been lost
    ended: datetime
    restore_seconds: float  # what a real restore would have taken (RTO): without validation and clean-up
    data_loss_seconds: float  # between the newest moment that could be restored and the beginning (RPO)
    phases: tuple[DrillPhase, ...]  # in their order, for whoever wants to know what takes so long
    namespaces: int  # that were compared
    documents: int  # over all namespaces
    validated: int  # collections that the server's own `validate` found good
    target: tuple[str, ...]  # hosts of the scratch MongoDB
    tool: str  # name and version of what restored it
    cluster_state: str = ""  # what was shown of the cluster's state in the set; empty if it holds none

    LEFT_OUT_IF_EMPTY: ClassVar = ("cluster_state",)

    def __post_init__(self) -> None:
        require_place(self.klass, self.set)
        require_form(SET_ID, run=self.run)
        require_form(_OUTCOME, outcome=self.outcome)
        require_form(OPTIME, until=self.until)
        require_form(_SHA256, manifest_sha256=self.manifest_sha256)
