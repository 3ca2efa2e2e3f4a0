"""What `groundcrew restore` shows of its plan, and of how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.console import format_bytes, out, print_answer, print_table

if TYPE_CHECKING:
    from shared.restore.job import RestoreResult
    from shared.restore.model import NamespaceVerdict

SIGNER_UNKNOWN = " (signer unknown)"  # after every verdict that nobody vouches for


def print_outcome(result: RestoreResult, *, dry_run: bool, trusted: bool, json_: bool) -> None:
    """Print the plan of a dry run, or how the restore ended."""
    if json_:
        print_answer(_result_json(result, dry_run, trusted), json_=True)
    elif dry_run:
        _print_plan(result)
    else:
        _print_result(result, trusted)


def _result_json(result: RestoreResult, dry_run: bool, trusted: bool) -> dict[str, object]:
    verdicts = [
        {
            "namespace": v.name,
            "basis": v.basis,
            "equal": v.equal,
            "documents": v.documents,
            "differences": list(v.differences),
        }
        for v in result.verdicts
    ]
    size = result.estimate.size
    return {
        "set": f"{result.manifest.klass}/{result.manifest.set}",
        "signer": result.signer,
        "trusted": trusted,
        "dry_run": dry_run,
        "plan": list(result.plan.reasons),
        "estimate": {
            "documents": size.documents,
            "data_bytes": size.data_bytes,
            "stored_bytes": size.stored_bytes,
            "known_seconds": round(result.estimate.known.total_seconds(), 1),
            "unknown": list(result.estimate.unknown),
            "basis": result.estimate.basis,
        },
        "proven": result.proven,
        "replayed": result.replayed,
        "erased_again": {
            "entries": result.erased.entries,
            "deleted": result.erased.deleted,
            "copies_in_rooms": result.erased.unset,
            "unknown": result.ledger.reason,
        },
        "problems": result.problems,
        "notes": result.notes,
        "verdicts": verdicts,
    }


def _print_plan(result: RestoreResult) -> None:
    for reason in result.plan.reasons:
        out.print(f"- {reason}")
    rows = [(h.name, h.kind, h.documents, format_bytes(h.data_bytes)) for h in result.manifest.namespaces]
    print_table(
        "Would restore",
        ("namespace", "kind", "documents", "size"),
        # The manifest lists everything; a restore with --only takes less, and the plan is what is asked
        # about.
        [r for r in rows if r[0] in result.plan.selected],
    )


def _verdict_text(verdict: NamespaceVerdict) -> str:
    """`equal` only for what was compared."""
    # What differs comes first: the basis of a comparison that failed is of no use to anybody.
    if not verdict.equal:
        return "; ".join(verdict.differences)
    # Views and users were restored, and not compared byte for byte: "equal" would say more than is known.
    return "equal" if verdict.basis == "compared" else verdict.basis


def _print_result(result: RestoreResult, trusted: bool) -> None:
    rows = [(v.name, v.documents, format_bytes(v.data_bytes), _verdict_text(v)) for v in result.verdicts]
    print_table(f"Restored {result.manifest.set}", ("namespace", "documents", "size", "verdict"), rows)
    for problem in result.problems:
        out.print(f"[bold red]problem:[/] {problem}")
    for note in result.notes:
        out.print(f"note: {note}")
    compared = [v for v in result.verdicts if v.basis == "compared"]
    equal = sum(v.equal for v in compared)
    verdict = "[bold green]PROVEN[/]" if result.proven else "[bold red]NOT PROVEN[/]"
    # On the last line, which is what is copied into a ticket.
    vouched = "" if trusted else SIGNER_UNKNOWN
    out.print(
        f"{verdict}{vouched}: {equal} of {len(compared)} namespaces equal,"
        f" {result.replayed} oplog entries replayed, signed by {result.signer}"
    )
