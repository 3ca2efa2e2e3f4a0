"""The restore: check every stored byte, write, compare, replay the oplog, build indexes, compare those.

Nothing is written before every stored byte was checked. What breaks off can be resumed.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace

from shared.backup import sets, verify
from shared.backup.rewrap import add_file_keys
from shared.formats.backupset import Manifest
from shared.formats.manifest import VerifiedManifest
from shared.kernel.durations import format_duration
from shared.kernel.errors import Refused, UsageError
from shared.mongodb.model import Namespace
from shared.restore.decide import plan_restore, select_namespaces, set_databases
from shared.restore.deps import RestoreDeps as RestoreDeps
from shared.restore.estimate import RestoreEstimate, estimate_restore, measure_size
from shared.restore.hold import RestoreHold
from shared.restore.journal import Journal, JournalWriter, journal_key, read_journal
from shared.restore.model import AUTH_NAMESPACES, RestorePlan
from shared.restore.model import RestoreResult as RestoreResult
from shared.restore.renames import RenamingTarget, parse_renames
from shared.restore.run import RestoreRun
from shared.restore.timing import EstimateReporter

log = logging.getLogger(__name__)

_LESS = "what an interrupted restore left complete takes less"


def restore_set(
    deps: RestoreDeps,
    reference: str,
    *,
    only: Collection[str] = (),
    dry_run: bool = False,
    into_non_empty: bool = False,
    resume: bool = False,
    renames: Collection[tuple[str, str]] = (),
) -> RestoreResult:
    """Restore a set into the target and compare the result with the manifest.

    `resume` goes on with an earlier run that broke off; `renames` are pairs of a database or namespace and
    its new name. Raises Corrupt, Refused, NotFound or UsageError before a byte is written; afterwards
    differences are in the result, and only a failure of the outside systems raises.
    """
    info, checked = _read_set(deps, reference)
    manifest = checked.manifest
    deps = replace(deps, identities=add_file_keys(deps.backups, manifest, deps.identities))
    deps = _rename(deps, manifest, only, renames)
    listed, hosts = deps.target.list_namespaces(), deps.target.list_hosts()
    key = journal_key(info.folder, [*hosts, *(f"{old}={new}" for old, new in renames)])
    earlier = read_journal(deps.journals, key)
    journal = _resume(earlier, checked.sha256) if resume else _begin(info.folder, checked.sha256, listed)
    unjournaled = [n for n in listed if journal.is_foreign(n, set_databases(manifest))] if resume else listed
    mixed = into_non_empty or (resume and bool(journal.existing))
    resumable = earlier is not None
    plan = plan_restore(
        manifest, only, unjournaled, hosts, into_non_empty=mixed, resumable=resumable, resuming=resume
    )
    estimate = _estimate(deps, manifest, plan)
    ledger = deps.erasures()  # before a byte is written: whether it can be read is part of the plan
    reasons = [f"{old} becomes {new}" for old, new in renames]
    reasons += deps.tail.plan.reasons if deps.tail else ()
    reasons += [estimate.describe(), *([_LESS] if resume else []), ledger.describe()]
    plan = replace(plan, reasons=(*plan.reasons, *filter(None, reasons)))
    result = RestoreResult(manifest, checked.signer, plan, estimate, ledger)
    _check_key(deps, result, required=not dry_run)
    if not dry_run:
        _execute_held(deps, result, JournalWriter(deps.journals, key, journal), listed if resume else ())
    return result


def _estimate(deps: RestoreDeps, manifest: Manifest, plan: RestorePlan) -> RestoreEstimate:
    selected = (entry for entry in manifest.namespaces if entry.name in plan.selected)
    size = measure_size(selected, plan.parts, manifest.oplog.data_bytes)
    return estimate_restore(size, deps.timing(), has_tail=deps.tail is not None)


def _check_key(deps: RestoreDeps, result: RestoreResult, *, required: bool) -> None:
    if deps.identities:
        verify.verify_key(deps.backups, result.manifest, result.plan.parts, deps.identities)
        if deps.tail is not None:
            deps.tail.check_key()
    elif required:
        raise UsageError("no key to decrypt with", hint="Give the key file: --identity FILE.")


def _read_set(deps: RestoreDeps, reference: str) -> tuple[sets.SetInfo, VerifiedManifest]:
    entry = deps.catalogue.find(reference)
    info = entry.info
    checked = sets.read_manifest(deps.backups, info, deps.catalogue.trusted)
    # What is left of a damaged set may be all there is: by its own name it is restored, never as `latest`.
    problems = [f"{info.folder} is {entry.state}: {entry.problem}"] if entry.problem else []
    for problem in deps.catalogue.newer_problems(entry) if reference == "latest" else problems:
        deps.reporter.note(f"warning: {problem}")
    return info, checked


def _rename(
    deps: RestoreDeps, manifest: Manifest, only: Collection[str], renames: Collection[tuple[str, str]]
) -> RestoreDeps:
    if not renames:
        return deps
    names = {entry.name for entry in manifest.namespaces}
    parsed = parse_renames([old for old, _ in renames], [new for _, new in renames], names)
    selected = {e.name for e in select_namespaces(manifest.namespaces, only)} - {*AUTH_NAMESPACES}
    is_renamed = all(parsed.to_target(name) != name for name in selected)
    return replace(deps, target=RenamingTarget(deps.target, parsed, selected, beside=is_renamed))


def _begin(folder: str, sha256: str, listed: Collection[Namespace]) -> Journal:
    return Journal(folder, sha256, tuple(n.name for n in listed))


def _resume(journal: Journal | None, sha256: str) -> Journal:
    if journal is None:
        hint = (
            "Journals are kept by the user and machine that began the restore. Start again without --resume."
        )
        raise UsageError("there is no interrupted restore of this set into this target", hint=hint)
    # What was written is of another set by now: half of each would be taken for whole.
    if journal.manifest_sha256 != sha256:
        raise Refused("the set's manifest is another one than when the restore began", value=journal.set)
    return journal


def _check_stored(deps: RestoreDeps, manifest: Manifest, result: RestoreResult) -> None:
    began = deps.clock.now()
    verify.verify_stored(deps.backups, manifest, result.plan.parts, deps.reporter)
    if deps.tail is not None:
        deps.tail.check_stored(deps.reporter)
    length = format_duration(deps.clock.now() - began)
    deps.reporter.note(
        f"checked every stored byte in {length}; the restore reads them again, and writes them"
    )


def _execute_held(
    deps: RestoreDeps, result: RestoreResult, journal: JournalWriter, resumed: Collection[Namespace]
) -> None:
    """Under a hold that keeps the schedule from stopping the machine."""
    hold = RestoreHold(deps.holds, deps.clock, result.manifest.set, deps.reporter)
    size = result.estimate.size
    amount = f"{size.documents} documents, {size.data_bytes / 1e6:.1f} MB"
    try:
        with EstimateReporter(hold, deps.clock.now, result.estimate) as reporter:
            deps = replace(deps, reporter=reporter)
            reporter.note(f"to restore: {amount}; {result.estimate.describe()}")
            _check_stored(deps, result.manifest, result)
            _execute(deps, result, journal, resumed)
    finally:
        hold.release()


def _execute(
    deps: RestoreDeps, result: RestoreResult, journal: JournalWriter, resumed: Collection[Namespace]
) -> None:
    log.info(
        "restore.run_started", extra={"set": journal.journal.set, "namespaces": len(result.plan.selected)}
    )
    result.written = True
    run = RestoreRun(deps, result, journal, {n.name: n for n in resumed if journal.journal.owns(n)})
    try:
        journal.save()
        run.execute_steps()
    except BaseException:  # Ctrl-C too: what is there, and how to go on
        log.warning("restore.run_interrupted", extra={"set": journal.journal.set, "step": run.step})
        deps.reporter.note(run.describe_interruption())
        raise
    # Kept otherwise: what is not proven may be gone on with.
    if result.proven:
        journal.close()
    log.info("restore.run_finished", extra={"set": journal.journal.set, "proven": result.proven})
