"""The wiring of the backup job."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import time
from functools import cache, partial
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from shared.kernel.errors import GroundcrewError, UsageError
from shared.settings import definitions
from shared.settings.environment import (
    all_or_nothing,
    parse_setting,
    read_environment,
    timer_schedule,
)
from shared.settings.intervals import daily_time
from shared.wiring import connect_queues, load_policy, open_backups, open_state, system_clock, tool_name
from shared.wiring.cluster_state import state_reader
from shared.wiring.timers import ping_run

if TYPE_CHECKING:
    from shared.backup.catalogue import SetCatalogue
    from shared.backup.deps import BackupDeps
    from shared.formats.agekeys import Recipient
    from shared.formats.backupset import ChainLink
    from shared.formats.extra_parts import ExtraPart

log = logging.getLogger(__name__)


@cache
def backup_deps() -> BackupDeps:
    """All that the backup needs. Raises one UsageError that lists every bad setting."""
    from shared.adapters.mongodb import connect_source
    from shared.backup.deps import BackupDeps
    from shared.formats.manifest import Signer

    env = read_environment()
    # Together, so that one run of the check names every setting that is missing, not the first.
    values = all_or_nothing(
        backups=open_backups,
        state=open_state,
        queues=connect_queues,
        mongodb=partial(env.secret, definitions.MONGODB),
        recipients=lambda: parse_setting(
            definitions.RECIPIENTS, _parse_recipients, env.get(definitions.RECIPIENTS)
        ),
        signer=lambda: parse_setting(definitions.SIGNING_KEY, Signer.parse, env.get(definitions.SIGNING_KEY)),
        policy=load_policy,
    )
    mongodb, rules = values.pop("mongodb"), values.pop("policy")
    # Called when a job needs it: the settings can be judged while the machine is off.
    connect = cache(lambda: connect_source(mongodb.reveal(), databases=rules.backup.databases))
    return BackupDeps(
        connect=connect,
        clock=system_clock(),
        tool=tool_name(),
        trusted_signers=trusted_signers(),
        zone=ZoneInfo(rules.timezone),
        policy=rules.backup,
        # A schedule that is not once a day says no time of day; one o'clock is the default's.
        daily_at=daily_time(timer_schedule("nightly_backup")) or time(1),
        offline_reason=offline_reason_reader(),
        on_run_saved=ping_run,
        tell_head=_tell_head,
        read_state=state_reader(),
        **values,
    )


def _tell_head(head: ChainLink, extra: Sequence[ExtraPart]) -> None:
    """One message for each sealed set; a failure is logged, and the set is sealed all the same."""
    from shared.backup.notices import sealed_notice, state_notice
    from shared.wiring.notifications import build_notifier

    where = f"{head.klass}/{head.set}"
    # Said of each set again: a state that is missing for weeks is forgotten after one message.
    required = load_policy().backup.cluster_state.mode == "required"
    try:
        # Without an address a notice would fail, and be logged as an error after each night.
        if read_environment().get(definitions.NOTIFY):
            build_notifier().notify(sealed_notice(head, extra))
            if missing := state_notice(head, extra, required=required):
                build_notifier().notify(missing)
    except GroundcrewError as error:
        log.warning("backup.head_not_told", extra={"set": where, "error": str(error)})


@cache
def trusted_catalogue() -> SetCatalogue:
    """The catalogue of sets, with our own signer and those that the settings trust.

    Raises UsageError where no signer is known: a set that nobody vouches for is no backup.
    """
    from shared.backup.catalogue import SetCatalogue
    from shared.backup.seals import SealLog

    trusted = trusted_signers()
    # Without this every manifest with any valid signature would do, and who can write blobs can sign.
    if not trusted:
        raise UsageError(
            "no signer of backups is trusted",
            hint=f"Set {definitions.SIGNING_KEY.name}, or {definitions.TRUSTED.name} on a laptop.",
        )
    return SetCatalogue(open_backups(), system_clock(), trusted, SealLog(open_state(), trusted))


def catalogue_if_trusted() -> SetCatalogue | None:
    """The catalogue, or None where no signer is known, so that nothing can be said of any set."""
    return trusted_catalogue() if trusted_signers() else None


def configured_signers() -> tuple[str, ...]:
    """The signers that the settings trust. Raises UsageError naming the setting for a malformed one."""
    from shared.formats.manifest import parse_signer

    def parse(text: str) -> tuple[str, ...]:
        return tuple(map(parse_signer, text.split()))

    return parse_setting(definitions.TRUSTED, parse, " ".join(read_environment().words(definitions.TRUSTED)))


def trusted_signers() -> tuple[str, ...]:
    """Our own public key, if there is a signing key, and the settings' trusted signers. Raises UsageError."""
    from shared.formats.manifest import Signer

    if key := read_environment().values.get(definitions.SIGNING_KEY.name):
        own = parse_setting(definitions.SIGNING_KEY, Signer.parse, key).public_text()
        # Ours first: most of what is read is of our own hand, and the first that fits ends the search.
        return (own, *configured_signers())
    return configured_signers()


def _parse_recipients(text: str) -> dict[str, Recipient]:
    """The recipients by their text; at least one, all of one kind."""
    from shared.formats.age import check_recipients
    from shared.formats.agekeys import parse_recipient

    # Commas as well: age's own lists have lines, and people write settings of one line either way.
    recipients = {word: parse_recipient(word) for word in text.replace(",", " ").split()}
    check_recipients(list(recipients.values()))
    return recipients


def offline_reason_reader() -> Callable[[], str]:
    """Tells why the machine is off on purpose, where there may be a machine."""
    # By the bare value: a fault of power's settings must not keep a backup from being made.
    on_azure = read_environment().values.get(definitions.SUBSCRIPTION.name)
    return _offline_reason if on_azure else _never_offline


def _never_offline() -> str:
    return ""


def _offline_reason() -> str:
    """Why the machine is off on purpose; empty without machines in the policy."""
    # Late: power's imports are for those backups only that a machine may be off for.
    from shared.power.availability import offline_reason
    from shared.wiring.inventory import build_inventory

    return offline_reason(build_inventory()) if load_policy().power.machines else ""
