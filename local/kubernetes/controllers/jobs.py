"""Jobs: pods until enough of them succeeded, or too many failed.

https://kubernetes.io/docs/concepts/workloads/controllers/job/
"""

from __future__ import annotations

import secrets

from local.kubernetes.controllers.common import (
    Context,
    find_condition,
    is_ready,
    live_pods,
    pod_of,
    short_digest,
    with_condition,
)
from local.kubernetes.copying import copy_json
from local.kubernetes.errors import Object

_BACKOFF_SECONDS = 10.0


def run_jobs(context: Context) -> None:
    """One pass."""
    for item in context.list_kind("Job"):
        if item["metadata"].get("deletionTimestamp"):
            continue
        if _is_finished(item):
            ttl = item["spec"].get("ttlSecondsAfterFinished")
            if ttl is not None and context.is_due((item["metadata"]["uid"], "ttl"), ttl):
                context.delete(item, propagationPolicy="Background")
        else:
            _reconcile_job(context, item)


def _is_finished(item: Object) -> bool:
    status = item.get("status") or {}
    return any(
        (find_condition(status, kind) or {}).get("status") == "True" for kind in ("Complete", "Failed")
    )


def _count_phase(pods: list[Object], phase: str) -> int:
    return sum((pod.get("status") or {}).get("phase") == phase for pod in pods)


def _count_restarts(pods: list[Object]) -> int:
    """Failures that a pod with `OnFailure` restarted from."""
    return sum(
        status.get("restartCount", 0)
        for pod in pods
        for status in (pod.get("status") or {}).get("containerStatuses") or ()
    )


def _reconcile_job(context: Context, item: Object) -> None:
    spec, uid = item["spec"], item["metadata"]["uid"]
    pods = context.list_owned("Pod", item)
    active, succeeded, failed = live_pods(pods), _count_phase(pods, "Succeeded"), _count_phase(pods, "Failed")
    status: Object = {"startTime": (item.get("status") or {}).get("startTime", context.now)}
    status |= {"ready": sum(map(is_ready, active)), "terminating": 0, "uncountedTerminatedPods": {}}
    status["conditions"] = copy_json((item.get("status") or {}).get("conditions") or [])
    limit = spec["backoffLimit"]
    deadline = spec.get("activeDeadlineSeconds")
    if succeeded >= spec["completions"]:
        _end_job(
            context, status, "Complete", "CompletionsReached", "Reached expected number of succeeded pods"
        )
        status["completionTime"] = context.now
        context.event(item, "Completed", "Job completed", source="job-controller")
    elif failed + _count_restarts(active) > limit:
        _fail_job(
            context,
            item,
            status,
            active,
            "BackoffLimitExceeded",
            "Job has reached the specified backoff limit",
        )
    elif deadline is not None and context.is_due((uid, "deadline"), deadline):
        _fail_job(
            context, item, status, active, "DeadlineExceeded", "Job was active longer than specified deadline"
        )
    elif not spec["suspend"]:
        missing = min(spec["parallelism"], spec["completions"] - succeeded) - len(active)
        backoff = _BACKOFF_SECONDS * 2 ** (failed - 1) if failed else 0
        waits = context.is_waiting((uid, "refused"))
        if missing > 0 and not waits and context.is_due((uid, "retry", failed), backoff):
            _start_pods(context, item, missing)
            active = live_pods(context.list_owned("Pod", item))
    if not status["conditions"]:
        del status["conditions"]
    ended = "completionTime" in status or any(c["type"] == "Failed" for c in status.get("conditions", ()))
    counts = {"active": 0 if ended else len(active), "succeeded": succeeded, "failed": failed}
    context.set_status(item, status | {key: value for key, value in counts.items() if value})


def _start_pods(context: Context, item: Object, count: int) -> None:
    for _ in range(count):
        name = f"{item['metadata']['name']}-{short_digest(secrets.token_hex(8), 5)}"
        if context.create(pod_of(item, name, {})):
            context.event(item, "SuccessfulCreate", f"Created pod: {name}", source="job-controller")
        else:
            why = f"Error creating: {context.refusal}"
            context.event(item, "FailedCreate", why, kind="Warning", source="job-controller")
            context.forget_timers(item["metadata"]["uid"], "refused")
            context.is_due((item["metadata"]["uid"], "refused"), _BACKOFF_SECONDS)  # begins to wait
            return


def _end_job(context: Context, status: Object, kind: str, reason: str, message: str) -> None:
    first = "SuccessCriteriaMet" if kind == "Complete" else "FailureTarget"
    for each in (first, kind):
        with_condition(status, each, "True", context.now, reason, message, lastProbeTime=context.now)


def _fail_job(
    context: Context, item: Object, status: Object, active: list[Object], reason: str, message: str
) -> None:
    for pod in active:
        context.delete(pod)
    _end_job(context, status, "Failed", reason, message)
    context.event(item, reason, message, kind="Warning", source="job-controller")
