"""The values that the state machine of a deploy decides by: state, progress, and what was observed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any


class DeployState(StrEnum):
    """The state of a deploy; `shared.deploy.state_machine` shows the ways between them."""

    QUEUED = "queued"
    GATING = "gating"
    BACKING_UP = "backing_up"
    APPLYING = "applying"
    WATCHING = "watching"
    SMOKE = "smoke"
    ROLLING_BACK = "rolling_back"
    DONE = "done"
    ROLLED_BACK = "rolled_back"
    RESTORE_PROPOSED = "restore_proposed"
    FAILED = "failed"
    SUPERSEDED = "superseded"

    @property
    def final(self) -> bool:
        """Whether nothing follows."""
        return not _NEXT[self]

    @property
    def busy(self) -> bool:
        """Whether it is past its gates and has not ended: nothing else may happen to the release."""
        return not self.final and self not in (DeployState.QUEUED, DeployState.GATING)


_ENDS = frozenset({DeployState.ROLLED_BACK, DeployState.RESTORE_PROPOSED, DeployState.FAILED})
_FAILING = _ENDS | {DeployState.ROLLING_BACK}
_NEXT: dict[DeployState, frozenset[DeployState]] = {
    DeployState.QUEUED: frozenset({DeployState.GATING, DeployState.SUPERSEDED, DeployState.FAILED}),
    DeployState.GATING: frozenset(
        {
            DeployState.BACKING_UP,
            DeployState.APPLYING,
            DeployState.SUPERSEDED,
            DeployState.DONE,
            DeployState.FAILED,
        }
    ),
    DeployState.BACKING_UP: frozenset({DeployState.APPLYING, DeployState.SUPERSEDED, DeployState.FAILED}),
    DeployState.APPLYING: _FAILING | {DeployState.WATCHING},
    DeployState.WATCHING: _FAILING | {DeployState.SMOKE},
    DeployState.SMOKE: _FAILING | {DeployState.DONE},
    # Never back to applying: once something is undone, only a new deploy begins anew.
    DeployState.ROLLING_BACK: _ENDS,
    **{end: frozenset() for end in (*_ENDS, DeployState.DONE, DeployState.SUPERSEDED)},
}


@dataclass(frozen=True, slots=True)
class DeployProgress:
    """What the state machine knows of a deploy. Revisions are Helm's and count from 1; 0 is none yet."""

    key: str  # the name of the deploy, whatever event announced it
    sha: str  # the commit
    environment: str  # to where
    state: DeployState = DeployState.QUEUED
    pull: int = 0  # of which pull request; 0: none is known
    version_before: str = ""  # the Rocket.Chat that the data belong to; empty on the first install
    version_after: str = ""  # the Rocket.Chat that the deploy starts
    revision_before: int = 0  # the release's last deployed revision before this deploy
    rollback_version: str = ""  # what that one runs; older than `version_before` where a newer version failed
    had_data: bool = False  # there was no release, but data of some version
    backup: str = ""  # class/id of the sealed set that was taken for it
    schema_before: int | None = None  # Rocket.Chat's migration counter then; None if it could not be read
    attempts: int = 0  # how often Helm was started to apply it
    rollback_attempts: int = 0  # and to roll it back
    deployment: int = 0  # GitHub's id of the deployment; 0 if there is none
    revision_after: int = 0  # the revision that Helm made of it, once that succeeded
    data_unchanged: bool = False  # a rollback was started because the data were proven to be as before
    outcome_unknown: bool = False  # it ended without anybody knowing what runs in the cluster now
    reason: str = ""  # why it is in its state, in a sentence without a full stop

    @property
    def changes_version(self) -> bool:
        """Whether another version of Rocket.Chat starts on data that is there."""
        return (bool(self.version_before) or self.had_data) and self.version_before != self.version_after

    @property
    def rollback_is_downgrade(self) -> bool:
        """Whether the revision to return to is of another version than the data may be."""
        return bool(self.rollback_version) and self.rollback_version != self.version_before

    def transition(self, state: DeployState, **changes: Any) -> DeployProgress:
        """The progress in another state. Raises ValueError for a transition that does not exist."""
        if state is not self.state and state not in _NEXT[self.state]:
            raise ValueError(f"{self.state.value} -> {state.value}")
        return replace(self, state=state, **changes)

    def to_json(self) -> dict[str, Any]:
        """As a stored record holds it."""
        return {**asdict(self), "state": self.state.value}


# Keys that earlier versions wrote, by the name of today.
_OLD_KEYS = {
    "revision_version": "rollback_version",
    "ways_back": "rollback_attempts",
    "clean": "data_unchanged",
    "unclear": "outcome_unknown",
}


def parse_progress(document: Mapping[str, Any]) -> DeployProgress:
    """The progress that `to_json` wrote; keys of earlier versions are accepted, unknown ones dropped.

    Raises ValueError or TypeError for anything else.
    """
    if not isinstance(document, Mapping):
        raise TypeError(f"{type(document).__name__} is not an object")
    known = {field.name for field in fields(DeployProgress)}
    renamed = {_OLD_KEYS.get(key, key): value for key, value in document.items()}
    values = {key: value for key, value in renamed.items() if key in known}
    return DeployProgress(**{**values, "state": DeployState(values.get("state", "queued"))})


@dataclass(frozen=True, slots=True)
class ObservedRelease:
    """The release as it is now."""

    revision: int = 0  # the newest one; 0 if there is no release
    status: str = ""  # as Helm says; empty if there is none
    description: str = ""  # as Helm says
    # The version in Rocket.Chat's `migrations` control document; None if it cannot be read or is locked,
    # which it is while a migration runs.
    schema: int | None = None
    # Whether a container of the new version ever ran; None if no pod could show it.
    new_version_started: bool | None = None
    # The operation that is in progress is another client's, which this deploy must not touch.
    external: bool = False
    # No Helm run of this deploy wrote a revision, and the release's pods are all older than the first of
    # them: nothing that could touch the data was started.
    untouched: bool = False

    @property
    def pending(self) -> bool:
        """Whether a Helm operation is in progress, or was interrupted."""
        return self.status.startswith("pending-") or self.status == "uninstalling"
