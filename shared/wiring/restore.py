"""The wiring of restores and of what reads stored sets."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from shared.kernel.errors import UsageError
from shared.settings import definitions
from shared.settings.environment import parse_setting, parse_storage_account, read_environment
from shared.wiring import BACKUPS, open_backups, open_container, open_state, system_clock
from shared.wiring.backup import configured_signers

if TYPE_CHECKING:
    from datetime import datetime

    from shared.backup.catalogue import SetCatalogue
    from shared.backup.key_drill import KeyDrill
    from shared.backup.proofs import DrillRecords
    from shared.formats.agekeys import Identity
    from shared.formats.erasures import Erasure
    from shared.formats.manifest import Signer
    from shared.kernel.ports import Blobs, Reporter
    from shared.records.holds import Holds
    from shared.restore.erasure_ledger import ErasureLedger
    from shared.restore.erasures import LedgerReading
    from shared.restore.estimate import TimingRecord
    from shared.restore.job import RestoreDeps


def build_restore_deps(
    to_uri: str,
    *,
    storage: str,
    identity_files: Sequence[Path],
    signers: Sequence[str],
    reporter: Reporter,
    jobs: int = 1,
) -> RestoreDeps:
    """All that a restore needs; `storage` and `signers` come from the settings if empty."""
    from shared.adapters.journal_files import JournalFiles
    from shared.adapters.mongodb import connect_target
    from shared.restore.job import RestoreDeps

    identities = [identity for path in identity_files for identity in read_identities(path)]
    catalogue = open_catalogue(storage, signers)
    return RestoreDeps(
        catalogue=catalogue,
        target=connect_target(to_uri, pause=partial(_wait_for_mongodb, reporter)),
        identities=identities,
        reporter=reporter,
        clock=system_clock(),
        holds=_open_holds(),
        journals=JournalFiles(_state_folder() / "restores"),
        timing=partial(_read_timing, catalogue),
        erasures=partial(_read_erasures, catalogue),
        jobs=jobs,
    )


def _read_erasures(catalogue: SetCatalogue) -> LedgerReading:
    from shared.restore.erasure_ledger import ErasureLedger
    from shared.restore.erasures import LedgerReading

    if catalogue.seals is None:
        return LedgerReading(reason="no setting names the app's own storage, where the erasure ledger is")
    return ErasureLedger(catalogue.seals.state, catalogue.trusted).read_for_restore()


def open_erasure_ledger() -> ErasureLedger:
    """The ledger of the settings' own storage. Raises UsageError."""
    from shared.restore.erasure_ledger import ErasureLedger
    from shared.wiring.backup import trusted_signers as own_and_trusted

    return ErasureLedger(open_state(), own_and_trusted())


def erasure_signer() -> Signer:
    """The key that signs entries of the ledger: the app's. Raises UsageError without it."""
    from shared.formats.manifest import Signer

    setting = definitions.SIGNING_KEY
    return parse_setting(setting, Signer.parse, read_environment().get(setting))


def parse_erasure(kind: str, subject: str, erased: datetime, noted: datetime) -> Erasure:
    """An entry of the ledger. Raises UsageError for what is no id, or was erased in the future."""
    from shared.formats.erasures import ERASED_ID, Erasure
    from shared.formats.strict_json import FORMAT

    if not ERASED_ID.fullmatch(subject):
        hint = "Only ids are kept: `_id` of the user, room, message or upload, such as 7vGkYm3qXn2Zr5TdW."
        raise UsageError("not an id of Rocket.Chat", value=subject[:80], hint=hint)
    # A date that is to come would erase, in every restore, what is not erased yet.
    if erased > noted:
        raise UsageError("that erasure is in the future", value=erased.isoformat())
    return Erasure(FORMAT, kind, subject, erased, noted)


def _read_timing(catalogue: SetCatalogue) -> TimingRecord:
    from shared.restore.estimate import TimingRecord
    from shared.restore.timing import read_timing

    if catalogue.seals is None:
        return TimingRecord(reason="no setting names the app's own storage, where drills are on record")
    return read_timing(catalogue.seals.state, catalogue)


def _wait_for_mongodb(reporter: Reporter, seconds: float) -> None:
    reporter.note(f"lost the connection to MongoDB: trying again in {seconds:g} s")
    time.sleep(seconds)


def open_catalogue(storage: str, signers: Sequence[str]) -> SetCatalogue:
    """The catalogue of the storage that is named, else of the settings' with its seal log.

    Another account's sets are not in the settings' seal log, so they are not compared with it.
    """
    from shared.backup.catalogue import SetCatalogue
    from shared.backup.seals import SealLog

    accepted = accepted_signers(signers)
    configured = storage in ("", read_environment().get(definitions.BACKUP_STORAGE))
    seals = SealLog(open_state(), accepted) if configured and _has_state() else None
    return SetCatalogue(backup_store(storage), system_clock(), accepted, seals)


def read_drills(catalogue: SetCatalogue) -> DrillRecords | None:
    """The drills on record; None for the sets of another account, or if no storage of the app is named."""
    from shared.backup.proofs import read_drill_records

    if catalogue.seals is None:
        return None
    return read_drill_records(catalogue.seals.state, catalogue.trusted, catalogue.clock)


def drill_recipients() -> tuple[str, ...]:
    """The public halves of the drills' own key, if the settings have it."""
    from shared.formats.agekeys import parse_key_setting

    text = read_environment().get(definitions.DRILL_KEY)
    return tuple(one.recipient() for one in parse_key_setting(text)) if text else ()


def note_key_drill(catalogue: SetCatalogue, drill: KeyDrill) -> bool:
    """Note it in the app's own storage; whether that is in the settings. Raises Refused, Unavailable."""
    from shared.backup.key_drill import write_key_drill

    if catalogue.seals is None:
        return False
    write_key_drill(catalogue.seals.state, drill)
    return True


def _has_state() -> bool:
    """Whether the settings name the storage that holds the seal log."""
    values = read_environment().values
    # Either way of naming it that the Functions host knows, a connection string or an account.
    return bool(
        values.get(definitions.STORAGE.name) or values.get(f"{definitions.STORAGE.name}__accountName")
    )


def _open_holds() -> Holds | None:
    """None if no settings say where the app keeps its state: a laptop with a SAS and a key restores too."""
    from shared.records.holds import Holds

    return Holds(open_state(), system_clock()) if _has_state() else None


def _state_folder() -> Path:
    """The user's folder for what programs remember (XDG Base Directory Specification)."""
    # Not in the current folder: `--resume` is found wherever the command is run from.
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "groundcrew"


def backup_store(storage: str = "") -> Blobs:
    """The container of backups: the one named, or the settings'. Raises UsageError if neither names one."""
    if not storage and not read_environment().get(definitions.BACKUP_STORAGE) and not _has_state():
        raise UsageError(
            "no storage of backups is named",
            hint=f"Give --storage ACCOUNT, or set {definitions.BACKUP_STORAGE.name}.",
        )
    # On the day when everything is lost there are no settings: a SAS URL or a name is all that is left.
    return open_container(parse_storage_account(storage), BACKUPS) if storage else open_backups()


def accepted_signers(signers: Sequence[str] = ()) -> tuple[str, ...]:
    """The signers whose manifests are accepted; empty accepts any. Raises UsageError for a malformed one."""
    from shared.formats.manifest import parse_signer

    # In place of the settings' and not beside them: who names signers wants to be sure of these.
    return tuple(map(parse_signer, signers)) or configured_signers()


def read_identities(path: Path) -> list[Identity]:
    """The identities of a key file. Raises UsageError naming the file, never its content."""
    from shared.formats.agekeys import parse_identities

    try:
        return parse_identities(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        raise UsageError(f"cannot read the key file {path}", value=error) from error
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}", hint=error.hint) from error
