"""What people are told about machines; pure texts, each with a key that makes it told once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from shared.kernel.durations import format_duration
from shared.notifications.ports import Notice, Severity
from shared.power.attempts import NO_CAPACITY
from shared.power.boot_guard import GuestFinding
from shared.power.model import PowerDecision
from shared.power.refresh import RefreshProgress, RefreshState
from shared.power.schedule import Schedule
from shared.power.unplanned import StopCause, UnplannedStop


def stop_warning_notice(machine: str, decision: PowerDecision, schedule: Schedule) -> Notice:
    """That the machine is about to stop, and how to keep it."""
    # On the machine's own clock: whoever reads it sits where its windows are meant.
    at = schedule.format_local(decision.stop_at) if decision.stop_at else "soon"
    chat, shell = f"`!ops power up {machine} for 2h`", f"`groundcrew power up {machine} --for 2h`"
    backup = " A backup is made before." if decision.backup_first else ""
    return Notice(
        Severity.WARNING,
        f"{machine} stops at {at}",
        f"{'; '.join(decision.reasons)}.{backup}",
        f"To keep it up, write {chat} here, or run {shell}.",
        # With the time: a stop that was put off is announced again, one that was not is told once.
        key=f"power/{machine}/{decision.id}/warn/{at}",
    )


def attention_notice(machine: str, decision: PowerDecision) -> Notice:
    """That something needs attention and may need a person."""
    reasons = "; ".join(decision.reasons)
    hint = "See `groundcrew power status`; it is tried again with growing pauses."
    if any(code in reasons for code in NO_CAPACITY):
        sizes = ", ".join(decision.alternatives)
        resize = f"Azure has no capacity for this size now. Sizes that would do: {sizes}. " if sizes else ""
        hint = f"{resize}Resize it (`az vm resize`) or wait: it is tried again with growing pauses."
    return Notice(
        Severity.WARNING,
        f"{machine} needs attention: {_headline(decision)}",
        f"{reasons}.",
        hint,
        key=f"power/{machine}/{decision.id}/alarm",
        again=True,
    )


def _headline(decision: PowerDecision) -> str:
    """The problem in a word or two, for a title."""
    if decision.id == "missing":
        return "machine not found"
    act = "start" if decision.desired_up else "stop"
    return f"{act} failed" if f"{act} failed" in decision.reasons[-1] else f"{act} was undone"


def unplanned_stop_notice(machine: str, stop: UnplannedStop, schedule: Schedule) -> Notice:
    """That a machine went off while it should run, who did it as far as known, and what is done about it."""
    at = schedule.format_local(stop.at or stop.seen)
    title, text, hint = (
        f"{machine} was stopped by {stop.by}",
        "",
        f"To start it: `groundcrew power up {machine}`.",
    )
    if stop.cause is StopCause.PLATFORM:
        text, hint = f"Azure stopped it at {at}. It is started again now.", ""
    elif stop.cause is StopCause.PERSON:
        text = f"It was stopped at {at} and is left off until the next window or an order."
    elif stop.cause is StopCause.GUEST:
        text = (
            f"It was shut down from inside at {at} and is left off until the next window or an order. "
            "It is billed until it is deallocated."
        )
        hint += f" To end the billing: `groundcrew power off {machine}`."
    else:
        title = f"{machine} went off while it should run"
        text = (
            f"Seen at {at}. Azure's activity log does not say who stopped it. It is left off, since somebody "
            "may be working on it or its disks."
        )
    # Who did it knows already; the others are told so that nobody starts it again behind their back.
    severity = Severity.INFO if stop.cause is StopCause.PERSON else Severity.WARNING
    key = f"power/{machine}/{stop.seen.isoformat()}/unplanned/{stop.cause}"
    return Notice(severity, title, text, hint, key=key, again=stop.cause is StopCause.UNKNOWN)


def unclean_stop_notice(machine: str, decision: PowerDecision, problems: str) -> Notice:
    """That the machine is deallocated although its services did not end as they should."""
    return Notice(
        Severity.WARNING,
        f"{machine} was not stopped cleanly",
        f"{problems}.",
        "Look at the cluster after the next start; `power.graceful_stop` may be too short.",
        key=f"power/{machine}/{decision.id}/unclean",
    )


def guest_notice(machine: str, finding: GuestFinding) -> Notice:
    """A danger to the machine's next start, before it stops."""
    severity = Severity.CRITICAL if finding.holds else Severity.WARNING
    key = f"power/{machine}/guest/{finding.key}"
    return Notice(severity, f"{machine}: {finding.title}", finding.text, finding.hint, key=key, again=True)


def store_notice(machine: str, facts: Mapping[str, str], problems: Sequence[str], at: datetime) -> Notice:
    """That the cluster's store was broken, and what was put back."""
    copy, saved = facts.get("store_restored", ""), facts.get("store_saved", "")
    text = f"The store was put back from the copy of {copy}; the broken one is in {saved}." if copy else ""
    text = " ".join([text, *(f"{problem}." for problem in problems)]).strip()
    hint = "What was changed in the cluster since that copy is gone: compare with `groundcrew deploy drift`."
    if not copy:
        hint = "See docs/power.md: restore the cluster, or make it anew and install the release again."
    title = f"{machine}: MicroK8s' store was broken"
    return Notice(Severity.CRITICAL, title, text, hint, key=f"power/{machine}/store/{copy or at.date()}")


def address_notice(machine: str, before: Mapping[str, str], after: Mapping[str, str]) -> Notice:
    """That the machine came back with another address."""
    old, new = before.get("address", ""), after.get("address", "")
    return Notice(
        Severity.WARNING,
        f"{machine} has another address: {new} instead of {old}",
        "MicroK8s' certificates and kubeconfigs name the old one, and the cluster may refuse connections.",
        "Make the address static (infra/terraform does), or run `microk8s refresh-certs --cert server.crt`.",
        key=f"power/{machine}/address/{new}",
    )


def collector_notice(machine: str, answer: str) -> Notice:
    """Whether the chat's statistics get out, as a pod saw it before the chat was started.

    What could not be looked at is told as little as that it works: it resolves what was told.
    """
    failed = answer.startswith("failed")
    return Notice(
        Severity.WARNING,
        f"{machine}: collector.rocket.chat cannot be reached from the cluster",
        f"A pod that asked before Rocket.Chat was started says: {answer}. Without a licence the server is "
        "read-only ten days after the last report that got out.",
        "Look for the cluster's DNS and for blocked outbound traffic: docs/runbooks/lockout.md.",
        key=f"power/{machine}/collector",
        resolved=not failed,
    )


def skipped_notice(machine: str, text: str) -> Notice:
    """That nothing is done about the machine."""
    return Notice(
        Severity.WARNING,
        f"{machine} is skipped",
        f"{text}.",
        "Correct policy.yaml or the setting.",
        key=f"power/{machine}/problem",
        again=True,
    )


def started_notice(machine: str, started: datetime, took: timedelta, message: str) -> Notice:
    """That it is up, and the time it took."""
    return Notice(
        Severity.INFO,
        f"{machine} is up after {format_duration(took)}",
        f"{message}.",
        key=f"power/{machine}/{started.isoformat()}/healthy",
    )


def unhealthy_notice(machine: str, started: datetime, took: timedelta, message: str) -> Notice:
    """That it runs and the server on it does not become well."""
    return Notice(
        Severity.CRITICAL,
        f"{machine} is running, but its server is not healthy after {format_duration(took)}",
        f"{message}.",
        "Look at `microk8s status` and `microk8s kubectl get pods -A` on the machine.",
        key=f"power/{machine}/{started.isoformat()}/unwell",
        again=True,
    )


def backup_skipped_notice(due: datetime, schedule: Schedule) -> Notice:
    """That a backup was left out on purpose."""
    at = schedule.format_local(due)
    text = f"The machine is off, and policy (`backup.when_vm_off`) does not start it for the one due at {at}."
    return Notice(Severity.INFO, "A backup was skipped", text, key=f"power/skipped/{due.isoformat()}")


def refresh_begun_notice(machine: str, before: str, begun: datetime) -> Notice:
    """That MicroK8s is being refreshed: pods may restart."""
    return Notice(
        Severity.INFO,
        f"{machine}: MicroK8s is being refreshed",
        f"From revision {before or 'unknown'}, after a snapshot of today. The chat may be away for minutes.",
        key=f"power/{machine}/refresh/{begun.isoformat()}",
    )


def refresh_ended_notice(
    machine: str, progress: RefreshProgress, state: RefreshState, after: str, detail: str
) -> Notice:
    """How a refresh of MicroK8s ended."""
    key = f"power/{machine}/refresh/{state.begun and state.begun.isoformat()}/{progress}"
    if progress is RefreshProgress.DONE:
        text = f"Revision {after} instead of {state.before or 'unknown'}; the server is healthy."
        return Notice(Severity.INFO, f"{machine}: MicroK8s was refreshed", text, key=key)
    if progress is RefreshProgress.FAILED:
        hint = "snapd puts the revision of before back. See `snap changes microk8s` on the machine."
        return Notice(
            Severity.WARNING, f"{machine}: the refresh of MicroK8s failed", f"{detail}.", hint, key=key
        )
    hint = "See `snap changes` and `microk8s status` on the machine; `snap revert microk8s` takes it back."
    title = f"{machine}: MicroK8s is not ready after its refresh"
    return Notice(Severity.CRITICAL, title, f"{detail}.", hint, key=key)


def refresh_missed_notice(machine: str, reason: str, window: datetime | None) -> Notice:
    """That a window went by without a refresh."""
    return Notice(
        Severity.WARNING,
        f"{machine}: MicroK8s was not refreshed in its window",
        f"{reason}.",
        "It is tried in the next window of power.refresh_windows; the old revision stays until then.",
        key=f"power/{machine}/refresh-missed/{window and window.isoformat()}",
    )
