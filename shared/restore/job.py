"""The restore: check every stored byte, write, compare, replay the oplog, build indexes, compare those.

Nothing is written before every stored byte was checked.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from shared.backup import sets, verify
from shared.kernel.errors import UsageError
from shared.restore.decide import plan_restore
from shared.restore.deps import RestoreDeps as RestoreDeps
from shared.restore.model import RestoreResult as RestoreResult
from shared.restore.run import RestoreRun

log = logging.getLogger(__name__)


def restore_set(
    deps: RestoreDeps,
    reference: str,
    *,
    only: Collection[str] = (),
    dry_run: bool = False,
    into_non_empty: bool = False,
) -> RestoreResult:
    """Restore a set into the target and compare the result with the manifest.

    Raises Corrupt, Refused, NotFound or UsageError before a byte is written; afterwards differences are
    in the result, and only a failure of the outside systems raises.
    """
    entry = deps.catalogue.find(reference)
    info = entry.info
    checked = sets.read_manifest(deps.backups, info, deps.catalogue.trusted)
    # What is left of a damaged set may be all there is: by its own name it is restored, never as `latest`.
    problems = [f"{info.folder} is {entry.state}: {entry.problem}"] if entry.problem else []
    for problem in deps.catalogue.newer_problems(entry) if reference == "latest" else problems:
        deps.reporter.note(f"warning: {problem}")
    manifest = checked.manifest
    target = deps.target
    plan = plan_restore(
        manifest, only, target.list_namespaces(), target.list_hosts(), into_non_empty=into_non_empty
    )
    result = RestoreResult(manifest, checked.signer, plan)
    if not deps.identities and not dry_run:
        raise UsageError("no key to decrypt with", hint="Give the key file: --identity FILE.")
    if deps.identities:
        verify.verify_key(deps.backups, manifest, plan.parts, deps.identities)
    if dry_run:
        return result
    verify.verify_stored(deps.backups, manifest, plan.parts, deps.reporter)
    log.info("restore.run_started", extra={"set": info.folder, "namespaces": len(plan.selected)})
    result.written = True
    RestoreRun(deps, result).execute_steps()
    log.info("restore.run_finished", extra={"set": info.folder, "proven": result.proven})
    return result
