"""Rules of what releases took away, what is counted for them, and what they come to. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from shared.kernel.versions import Version


class ProbeKind(StrEnum):
    """What is looked for in the database. The set is closed: a rule cannot bring a query of its own."""

    # Sign-in services of people that are on, and who has no other way in.
    CUSTOM_OAUTH = "custom_oauth"
    # The same, of services whose provider has a private address.
    PRIVATE_OAUTH = "private_oauth"
    # Scripts of integrations that are on, by what their text does.
    SLOPPY_SCRIPTS = "sloppy_scripts"
    REQUESTING_SCRIPTS = "requesting_scripts"
    # Messages with a link to a path of the server.
    MESSAGE_LINKS = "message_links"
    # Tokens that programs sign in with.
    PERSONAL_TOKENS = "personal_tokens"
    # Devices that get their notifications through the gateway, under an offline licence.
    OFFLINE_PUSH = "offline_push"


# Of these a subject is a way to sign in: whoever has no other one is locked out.
LOGIN_PROBES = frozenset({ProbeKind.CUSTOM_OAUTH, ProbeKind.PRIVATE_OAUTH})


class RuleEffect(StrEnum):
    """What a rule that fires does: `blocks` closes the gate where somebody is locked out, `warns` never."""

    BLOCKS = "blocks"
    WARNS = "warns"


@dataclass(frozen=True, slots=True)
class UpgradeRule:
    """What one release took away.

    - `since`: the first version that has it; `until`: the first that no longer has it, None if all later
      ones do. Crossing into that range is what fires the rule.
    - `probe`, `parameter`: what is counted; the parameter is the licence module that keeps it for
      `custom_oauth`, the path for `message_links`, else empty.
    - `consequence`: a sentence with the fields of its probe in braces, see `PROBE_FIELDS`.
    - `sources`: where the release's change is written down.
    """

    id: str
    since: Version
    until: Version | None
    probe: ProbeKind
    parameter: str
    effect: RuleEffect
    consequence: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProbeSubject:
    """One thing that a probe found.

    - `name`: of the sign-in service or the integration; empty where there is only a number.
    - `count`: active users who sign in with it, messages, tokens or devices.
    - `stranded`: of `count`, the active users without another way in; 0 where it is no sign-in.
    - `total`: all active users; 0 where it is no sign-in.
    """

    name: str = ""
    count: int = 0
    stranded: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What a probe found: no subjects is nothing. `unknown` says why something was not counted.

    With `at_least` there may be more than the subjects say: counting all of them took too long.
    """

    subjects: tuple[ProbeSubject, ...] = ()
    unknown: str = ""
    at_least: bool = False


# What is looked for, for which: rules that share both are counted once.
ProbeKey = tuple[ProbeKind, str]


@dataclass(frozen=True, slots=True)
class UpgradeObservation:
    """What the database said.

    - `results`: by probe and parameter.
    - `modules`: the licence's modules, as the server's newest statistics name them; None if those are
      missing or too old to count.
    """

    results: Mapping[ProbeKey, ProbeResult] = field(default_factory=dict)
    modules: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class UpgradeLoss:
    """What a rule comes to on this server.

    - `text`: a sentence for people, with its version in front.
    - `locks_out`: whether a sign-in that active users have would stop; of one that is unknown, may stop.
    - `unknown`: whether it could not be counted; `text` then says why.
    """

    rule: str
    text: str
    locks_out: bool = False
    unknown: bool = False
