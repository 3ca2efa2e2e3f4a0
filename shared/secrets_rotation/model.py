"""What is known of secrets and their rotation: homes, readers, ages, the journal. Values only as `Secret`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.kernel.errors import GroundcrewError
from shared.kernel.secret import Secret


class NotYet(GroundcrewError):
    """A step waits for something; the rotation goes on at the next tick."""


class HomeKind(StrEnum):
    """Where a secret is kept."""

    KUBERNETES = "kubernetes"  # a key of a Secret
    KEY_VAULT = "key-vault"
    SOPS = "sops"  # an encrypted file in the repository
    SETTING = "setting"  # an app setting that holds the value itself
    ROCKETCHAT = "rocketchat"  # a setting or an integration in the chat


@dataclass(frozen=True, slots=True)
class SecretHome:
    """One place of one secret.

    - `place`: the namespace and Secret, the vault, the file, empty for a setting.
    - `key`: the key in it.
    """

    kind: HomeKind
    place: str
    key: str

    @property
    def writable(self) -> bool:
        """Whether Groundcrew can put a new value there; the others change by a commit or by hand."""
        return self.kind in (HomeKind.KUBERNETES, HomeKind.KEY_VAULT)

    def __str__(self) -> str:
        separator = {HomeKind.SOPS: "#"}.get(self.kind, "/")
        return f"{self.kind}:{self.place}{separator if self.place else ''}{self.key}"


def parse_home(text: str) -> SecretHome:
    """`kubernetes:NAMESPACE/SECRET/KEY` and the like, of the form that policy has checked."""
    kind, _, rest = text.partition(":")
    # From the right: a file's path has slashes of its own.
    place, _, key = rest.rpartition("#" if kind == "sops" else "/")
    return SecretHome(HomeKind(kind), place, key)


@dataclass(frozen=True, slots=True)
class SecretReader:
    """Who reads a secret: `deployment` and `statefulset` of a namespace, or `app` with a setting's name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.namespace}{'/' if self.namespace else ''}{self.name}"


def parse_reader(text: str) -> SecretReader:
    """`deployment:NAMESPACE/NAME` and the like, of the form that policy has checked."""
    kind, _, rest = text.partition(":")
    namespace, _, name = rest.rpartition("/")
    return SecretReader(kind, namespace, name)


@dataclass(frozen=True, slots=True)
class HomeValue:
    """What a home holds now; `version` is what a write may be conditional on."""

    value: Secret
    version: str


@dataclass(frozen=True, slots=True)
class HomeState:
    """What may be told of a home.

    - `changed`: since when it holds what it does; `problem`: why that cannot be seen.
    - `expires`: when the home itself says that the value ends; None where it does not.
    """

    home: SecretHome
    changed: datetime | None = None
    problem: str = ""
    expires: datetime | None = None


class SecretState(StrEnum):
    """The verdict on a secret's age."""

    GOOD = "good"
    DUE_SOON = "due soon"
    DUE = "due"
    UNKNOWN = "unknown"  # nobody knows how old it is, which is never good
    ROTATING = "rotating"
    UNDOING = "undoing"


class RotationStep(StrEnum):
    """What of a rotation is done; a killed one goes on behind it."""

    BEGUN = "begun"  # the new credential is journalled, nothing is changed
    ISSUED = "issued"  # both are valid
    PUBLISHED = "published"  # the public half is where its readers look, and they were seen to have it
    STORED = "stored"  # the homes hold the new one
    RELOADED = "reloaded"  # the readers were seen to run with it
    ACTIVATED = "activated"  # who sends uses it
    PROVEN = "proven"  # a fresh connection with it worked
    REVOKING = "revoking"  # the old one may be invalid: from here there is no way back
    REVOKED = "revoked"
    TRIMMED = "trimmed"  # the homes hold nothing of the old one
    DONE = "done"
    UNDOING = "undoing"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class RotationJournal:
    """A rotation that is under way, or the last one that ended."""

    id: str  # when it began, `20260301T120000Z`
    name: str  # of the secret, as policy calls it
    by: str  # who asked for it
    started: datetime
    step: RotationStep  # the last one that was reached
    step_since: datetime  # by which a step that does not end is told
    old_label: str  # which credential is replaced, for people; never a value
    new_label: str  # and by which
    # The new secret and the homes' old values, encrypted by age to the app's own key, in base64; empty once
    # it ended.
    sealed: str = ""
    failure: str = ""  # why it is undone
    remains: str = ""  # what a person has to do yet, since nobody else can; empty if nothing

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return self.step in (RotationStep.DONE, RotationStep.UNDONE)


@dataclass(frozen=True, slots=True)
class RotationSecrets:
    """What the journal keeps sealed; `new` is empty until a system that makes tokens itself has made it."""

    new: Secret
    homes: Mapping[str, Secret]


@dataclass(frozen=True, slots=True)
class ChosenCredential:
    """The credential that comes next: what it is called, and the secret if it is ours to choose."""

    old_label: str
    new_label: str
    secret: Secret


@dataclass(frozen=True, slots=True)
class RolloutState:
    """How far a reader's restart is seen to be; `failed` if it will not get there by itself."""

    done: bool
    reason: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class SecretStatus:
    """One secret as the inventory shows it: everything but the value."""

    name: str
    kind: str
    state: SecretState
    homes: tuple[HomeState, ...]
    readers: tuple[str, ...]
    changed: datetime | None = None
    due: datetime | None = None
    last: RotationJournal | None = None
    reasons: tuple[str, ...] = ()
