"""The objects of the API read as a drill's Job, its pod, and the isolation of its namespace. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from shared.kernel.timestamps import parse_optional_timestamp
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.workloads import ClusterEvent, parse_pod
from shared.restore.drill.cluster.manifest import OWNER_LABEL
from shared.restore.drill.cluster.model import ScratchJob, ScratchPod

# What no waiting mends; a missing image may be pushed yet, and a registry may answer again.
_FINAL = ("InvalidImageName", "ErrImageNeverPull")
LEVEL_LABEL = "pod-security.kubernetes.io/enforce"


def parse_job(item: Manifest) -> ScratchJob:
    """A Job as the API has it."""
    meta, spec = _part(item, "metadata"), _part(item, "spec")
    seconds = spec.get("activeDeadlineSeconds")
    return ScratchJob(
        str(meta.get("name", "")),
        str(_part(meta, "labels").get(OWNER_LABEL, "")),
        parse_optional_timestamp(meta.get("creationTimestamp")),
        _condition(item, "Failed") is not None or _condition(item, "Complete") is not None,
        timedelta(seconds=seconds) if isinstance(seconds, int) else None,
    )


def parse_scratch_pod(
    pods: Sequence[Manifest], job: Manifest | None, events: Sequence[ClusterEvent]
) -> ScratchPod:
    """The pod of a Job by the API's objects; `events` come newest first."""
    pod = max(pods, key=lambda each: str(_part(each, "metadata").get("creationTimestamp", "")), default=None)
    if pod is None:
        return _missing_pod(job, events)
    name, status = str(_part(pod, "metadata").get("name", "")), _part(pod, "status")
    if _part(pod, "metadata").get("deletionTimestamp"):
        reason = _failure_of(job) or "the pod is being removed"
        return ScratchPod(name, reason=reason, ended=True, stopping=True)
    if status.get("phase") in ("Failed", "Succeeded"):
        return ScratchPod(name, reason=_end_reason(status), ended=True)
    if parse_pod(pod).ready:
        return ScratchPod(name, running=True)
    reason = _waiting_reason(pod) or _event_reason(events, f"Pod/{name}")
    final = any(word in reason for word in _FINAL)
    return ScratchPod(name, reason=reason or f"the pod is {status.get('phase', 'Pending')}", ended=final)


def _missing_pod(job: Manifest | None, events: Sequence[ClusterEvent]) -> ScratchPod:
    if job is None:
        return ScratchPod(reason="the Job was deleted", ended=True)
    if failure := _failure_of(job):
        return ScratchPod(reason=failure, ended=True)
    # A quota or an admission that refuses the pod: the Job's controller says so in an event only.
    about = f"Job/{_part(job, 'metadata').get('name')}"
    return ScratchPod(reason=_event_reason(events, about) or "the Job has no pod yet")


def _failure_of(job: Manifest | None) -> str:
    failed = _condition(job or {}, "Failed")
    return _phrase(failed.get("reason"), failed.get("message")) if failed else ""


def _end_reason(status: Mapping[str, Any]) -> str:
    """Why a pod ended: evicted for what it took of the disk, killed for its memory, or by itself."""
    if status.get("reason"):
        return _phrase(status["reason"], status.get("message"))
    for each in status.get("containerStatuses") or ():
        ended = _part(_part(each, "state"), "terminated")
        if ended:
            return f"mongod ended: {ended.get('reason', 'Error')}, exit code {ended.get('exitCode')}"
    return f"the pod ended: {status.get('phase')}"


def _waiting_reason(pod: Manifest) -> str:
    scheduled = _condition(pod, "PodScheduled", "False")
    if scheduled:
        return _phrase(scheduled.get("reason"), scheduled.get("message"))
    for each in _part(pod, "status").get("containerStatuses") or ():
        waiting = _part(_part(each, "state"), "waiting")
        # `ContainerCreating` says nothing: a warning of the kubelet's may.
        if waiting.get("message") or waiting.get("reason") not in (None, "ContainerCreating"):
            return _phrase(waiting.get("reason"), waiting.get("message"))
    return ""


def _event_reason(events: Iterable[ClusterEvent], about: str) -> str:
    newest = next((each for each in events if each.about == about), None)
    return _phrase(newest.reason, newest.message) if newest else ""


def denies_all_traffic(policies: Iterable[Manifest]) -> bool:
    """Whether all pods may neither be reached nor reach anything.

    Policies add up: one that denies all is of no use beside another that allows something.
    https://kubernetes.io/docs/concepts/services-networking/network-policies/
    """
    specs = [_part(each, "spec") for each in policies]
    if any(spec.get("ingress") or spec.get("egress") for spec in specs):
        return False
    return any(
        spec.get("podSelector") == {} and {"Ingress", "Egress"} <= set(spec.get("policyTypes") or ())
        for spec in specs
    )


def _condition(item: Manifest, kind: str, state: str = "True") -> Mapping[str, Any] | None:
    for each in _part(item, "status").get("conditions") or ():
        if each.get("type") == kind and each.get("status") == state:
            return dict(each)
    return None


def _phrase(reason: object, message: object) -> str:
    return ": ".join(str(word) for word in (reason, message) if word)[:300]


def _part(item: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = item.get(name)
    return part if isinstance(part, Mapping) else {}
