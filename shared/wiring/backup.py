"""The wiring of backup and restore, and of what `/api/health` looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from shared import config, settings
from shared.errors import Unavailable, UsageError
from shared.wiring import BACKUPS, backups, blobs, clock, policy, queues, state, tool

if TYPE_CHECKING:
    from shared.formats.agekeys import Identity
    from shared.jobs.backup import Backup
    from shared.jobs.restore import Restore
    from shared.ports import Blobs, Reporter


@cache
def backup() -> Backup:
    """All that the backup needs. Raises one UsageError that lists every bad setting."""
    from shared.adapters.mongodb import connect_source
    from shared.formats.agekeys import parse_recipient
    from shared.formats.manifest import Signer
    from shared.jobs.backup import Backup

    env = config.environment()
    read = config.all_or_nothing(
        backups=backups,
        state=state,
        queues=queues,
        mongodb=partial(env.secret, settings.MONGODB),
        recipients=lambda: {
            text: config.named(settings.RECIPIENTS, parse_recipient, text)
            for text in env.words(settings.RECIPIENTS)
        },
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
        **read,
    )


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
