"""What nobody would hear of otherwise: jobs whose settings are wrong, and messages that failed for good.

It needs the storage and the notifications only, so that it works when the settings of a job do not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from shared.kernel.errors import GroundcrewError, UsageError
from shared.kernel.ports import Queues
from shared.notifications.ports import Notice, Notifier, Severity

log = logging.getLogger(__name__)

Checks = Mapping[str, Callable[[], object]]
"""By job: reads its settings and builds what it needs, without using it. Raises UsageError."""


def settings_key(job: str) -> str:
    """The key under which a job's wrong settings are notified, whoever finds them."""
    return f"settings/{job}"


def notify_bad_settings(notifier: Notifier, job: str, error: UsageError) -> None:
    """Say once that the job cannot run, until `report_settings` has seen it able to."""
    hint = "Correct the settings; `GET /api/status` lists what is wrong. It is tried again every 15 minutes."
    notice = Notice(Severity.WARNING, f"{job} cannot run", str(error), hint, key=settings_key(job))
    try:
        notifier.notify(notice)
    except GroundcrewError as failure:  # the log and the status have it, and the next run tries again
        facts = {"job": job, "error": str(failure)}
        log.error("settings.notification_failed", extra=facts)  # noqa: TRY400 - no bug of ours


def report_settings(checks: Checks, notifier: Notifier) -> str:
    """Notify each job whose settings are wrong, once, and when they are right again.

    Raises UsageError naming all of them, so that the run counts as failed.
    """
    faults, well = {}, []
    for job, check in checks.items():
        try:
            check()
        except UsageError as error:
            facts = {"job": job, "error": str(error)}
            log.error("settings.invalid", extra=facts)  # noqa: TRY400 - no bug of ours
            notify_bad_settings(notifier, job, error)
            faults[job] = str(error)
        except Exception as error:  # a bug in one job's wiring must not keep the others from being checked
            log.exception("settings.internal_error", extra={"job": job})
            failure = UsageError(f"internal error ({type(error).__name__})", hint="See the log.")
            notify_bad_settings(notifier, job, failure)
            faults[job] = str(failure)
        else:
            well.append(_end_of(settings_key(job), f"{job} can run again"))
    _notify_resolved(notifier, well)
    if faults:
        raise UsageError(f"cannot run: {', '.join(faults)}", value="\n".join(faults.values()))
    return f"the settings of {len(checks)} jobs are complete"


def _end_of(key: str, title: str) -> Notice:
    return Notice(Severity.WARNING, title, "", key=key, resolved=True)


def _notify_resolved(notifier: Notifier, ends: Sequence[Notice]) -> None:
    try:
        notifier.notify_resolved(ends)
    except GroundcrewError as error:
        facts = {"keys": [notice.key for notice in ends], "error": str(error)}
        log.warning("catch_up.notification_failed", extra=facts)


def report_poison_queues(queues: Queues, notifier: Notifier, names: Sequence[str]) -> str:
    """Notify about messages that failed too often; repeated for as long as they are there."""
    queues_report, well = [], []
    for name in names:
        poison = f"{name}-poison"
        count = queues.length(poison)
        if not count:
            well.append(_end_of(f"poison/{name}", f"{name}: no message is left that failed for good"))
            continue
        noun = "message" if count == 1 else "messages"
        text = f"{count} {noun} in poison queue {poison}: each failed too often to be tried again."
        hint = f"See the log of the function that reads {name}, then clear {poison}."
        log.warning("queue.poison_found", extra={"queue": poison, "messages": count})
        title = f"{name}: messages failed for good"
        notifier.notify(Notice(Severity.WARNING, title, text, hint, key=f"poison/{name}", again=True))
        queues_report.append(f"{count} {noun} in poison queue {poison}")
    _notify_resolved(notifier, well)
    return "; ".join(queues_report) or "no poison queue holds a message"
