"""The pod of a rehearsal as the API has it, and why Rocket.Chat ended. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from shared.kubernetes.images import as_mapping, as_mappings
from shared.kubernetes.manifest import Manifest
from shared.kubernetes.workloads import ClusterEvent
from shared.rehearsal.model import CHAT, DATABASE, RehearsalPod
from shared.restore.drill.cluster.observe import parse_scratch_pod

_MAX_LINE = 200
# What Rocket.Chat and the driver write before they end, and what of it may be shown: names of collections and
# indexes, never the keys and values behind them, which are people's data.
_DUPLICATE = re.compile(
    r"E11000 duplicate key error collection: (?P<collection>[\w.-]+) index: (?P<index>\S+)"
)
_LOCKED = re.compile(r"control is locked|database migration failed.*locked|Waited too long", re.IGNORECASE)
_NOT_MIGRATED = re.compile(r"database migration failed|Can't migrate from version (\d+)", re.IGNORECASE)
_FAILED_STEP = re.compile(r"[Mm]igration[^\n]{0,40}?\b(?:to|up|version)\D{0,10}(?P<version>\d{1,4})")
_OUT_OF_MEMORY = re.compile(r"heap out of memory|Allocation failed")


def parse_rehearsal_pod(
    pods: Sequence[Manifest], job: Manifest | None, events: Sequence[ClusterEvent]
) -> RehearsalPod:
    """The pod of a Job by the API's objects; `events` come newest first."""
    scratch = parse_scratch_pod(pods, job, events)
    pod = next((each for each in pods if as_mapping(each.get("metadata")).get("name") == scratch.name), None)
    status = as_mapping(pod.get("status")) if pod else {}
    database = _find_state(status.get("initContainerStatuses"), DATABASE)
    chat = _find_state(status.get("containerStatuses"), CHAT)
    ended = as_mapping(chat.get("terminated"))
    # Of a pod that restarts never, what ended stays so, whatever the sidecar beside it does.
    return RehearsalPod(
        scratch.name,
        "running" in database and not scratch.ended,
        "running" in chat and not scratch.ended,
        _describe_end(ended) if ended else scratch.reason,
        scratch.ended or bool(ended) or "terminated" in database,
        str(ended.get("message") or ""),
    )


def _find_state(statuses: Any, name: str) -> Mapping[str, Any]:
    return next(
        (as_mapping(one.get("state")) for one in as_mappings(statuses) if one.get("name") == name), {}
    )


def _describe_end(ended: Mapping[str, Any]) -> str:
    return f"Rocket.Chat ended: {ended.get('reason', 'Error')}, exit code {ended.get('exitCode')}"


def explain_exit(pod: RehearsalPod) -> str:
    """Why Rocket.Chat ended, by what it wrote last; no value of a document is in it."""
    text = pod.exit_message
    if match := _DUPLICATE.search(text):
        where, index = match["collection"], match["index"]
        return f"a migration or an index failed on duplicate keys: {where}, index {index}"
    if _LOCKED.search(text):
        return "migrations.control is locked: an earlier migration was interrupted, and none can run"
    if _OUT_OF_MEMORY.search(text):
        return "Rocket.Chat ran out of memory"
    if _NOT_MIGRATED.search(text):
        step = _FAILED_STEP.search(text)
        return f"the migration{' to ' + step['version'] if step else ''} failed"
    return (pod.reason or "Rocket.Chat ended")[:_MAX_LINE]
