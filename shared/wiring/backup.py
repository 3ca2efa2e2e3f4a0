"""The wiring of backup and restore, and of what `/api/health` looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import time
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from shared import config, settings
from shared.errors import Unavailable, UsageError
from shared.wiring import BACKUPS, backups, blobs, clock, policy, queues, state, tool

if TYPE_CHECKING:
    from shared.formats.agekeys import Identity, Recipient
    from shared.jobs.backup import Backup
    from shared.jobs.restore import Restore
    from shared.ports import Blobs, Reporter


@cache
def backup() -> Backup:
    """All that the backup needs. Raises one UsageError that lists every bad setting."""
    from shared.adapters.mongodb import connect_source
    from shared.formats.manifest import Signer
    from shared.jobs.backup import Backup

    env = config.environment()
    read = config.all_or_nothing(
        backups=backups,
        state=state,
        queues=queues,
        mongodb=partial(env.secret, settings.MONGODB),
        recipients=lambda: config.named(settings.RECIPIENTS, _recipients, env.get(settings.RECIPIENTS)),
        signer=lambda: config.named(settings.SIGNING_KEY, Signer.parse, env.get(settings.SIGNING_KEY)),
        policy=policy,
    )
    mongodb, rules = read.pop("mongodb"), read.pop("policy")
    connect = cache(lambda: connect_source(mongodb.reveal(), databases=rules.backup.databases))
    return Backup(
        source=connect,
        clock=clock(),
        tool=tool(),
        zone=ZoneInfo(rules.timezone),
        policy=rules.backup,
        daily_at=config.daily_time(config.schedule("nightly_backup")) or time(1),
        asleep=_asleep if env.values.get(settings.SUBSCRIPTION.name) else _awake,
        **read,
    )


def _recipients(text: str) -> dict[str, Recipient]:
    """One at least, and of one kind."""
    from shared.formats.age import check_recipients
    from shared.formats.agekeys import parse_recipient

    found = {word: parse_recipient(word) for word in text.replace(",", " ").split()}
    check_recipients(list(found.values()))
    return found


def _awake() -> str:
    return ""


def _asleep() -> str:
    """Why the machine is off on purpose; asked only where there is one to be asked about."""
    from shared.state.sleeping import asleep
    from shared.wiring.power import fleet

    return asleep(fleet()) if policy().power.machines else ""


def restore(
    to_uri: str, *, storage: str, identity_files: Sequence[Path], signers: Sequence[str], reporter: Reporter
) -> Restore:
    """All that a restore needs; `storage` and `signers` come from the settings if empty."""
    from shared.adapters.mongodb import connect_target
    from shared.jobs.restore import Restore

    identities = [identity for path in identity_files for identity in read_identities(path)]
    return Restore(backup_store(storage), connect_target(to_uri), identities, trusted(signers), reporter)


def backup_store(storage: str = "") -> Blobs:
    """The container of backups: the one named, or the settings'."""
    return blobs(config.storage(storage), BACKUPS) if storage else backups()


def trusted(signers: Sequence[str] = ()) -> tuple[str, ...]:
    """The signers whose manifests are accepted; empty means that nobody vouches for them."""
    return tuple(signers) or config.environment().words(settings.TRUSTED)


def read_identities(path: Path) -> list[Identity]:
    """The identities of a key file. Raises UsageError naming the file, never its content."""
    from shared.formats.agekeys import parse_identities

    try:
        return parse_identities(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        raise UsageError(f"cannot read the key file {path}", value=error) from error
    except UsageError as error:
        raise UsageError(f"{path}: {error.thing}", cure=error.cure) from error


def health_checks() -> Mapping[str, Callable[[], str]]:
    """What `/api/health` looks at."""
    return {
        "settings": lambda: f"{len(backup().recipients)} recipients",
        "policy": lambda: f"time zone {policy().timezone}",
        "storage": lambda: _readable(state(), "locks/"),
        "backups": _newest_backup,
        "mongodb": lambda: f"version {backup().source().server_version()}",
    }


def _readable(store: Blobs, prefix: str) -> str:
    next(iter(store.list(prefix)), None)
    return "readable"


def _newest_backup() -> str:
    from shared.state.sets import list_sets

    sealed = [s for s in list_sets(backups()) if s.state == "sealed"]
    age = clock().now() - sealed[-1].created if sealed else None
    if age is None or age > policy().backup.alarm_after:
        raise Unavailable("there is no recent backup", value=age, cure="See `groundcrew backups list`.")
    return f"the newest is {age.total_seconds() / 3600:.1f} hours old"
