"""The policy of restore drills."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, model_validator

from .base import Duration, Section, reject
from .cluster_values import Label, MongodbImage, ScratchMemory, ScratchStorage


class DrillClusterPolicy(Section):
    """A MongoDB that each drill starts in the cluster, as a Job, and removes again.

    Without this part drills restore into the server of `DRILL_MONGODB_URI`. The namespace, its isolation and
    the app's rights in it are in infra/chart/rbac-drill.yaml.
    """

    images: tuple[MongodbImage, ...] = Field(
        min_length=1,
        max_length=8,
        description="images of MongoDB, each with its full version; the one of the set's major and minor "
        "version is taken. Keep the old one beside the new one for as long as you keep sets of it",
        examples=[["docker.io/library/mongo:8.0.15"]],
    )
    namespace: Label = Field(
        default="groundcrew-drill", description="where the Job runs; used for nothing else"
    )
    cpus: int = Field(default=2, ge=1, le=64, description="the most that the Job may use of the node")
    memory: ScratchMemory = Field(
        default=3 << 30,
        description="the same of memory; the node must have as much free",
        json_schema_extra={"default": "3 GiB"},
    )
    storage_limit: ScratchStorage = Field(
        default=64 << 30,
        description="the most that a copy may take of the node's disk; a drill asks for twice the set's "
        "uncompressed data, and is refused above this",
        json_schema_extra={"default": "64 GiB"},
    )
    ready_within: Duration = Field(
        default=timedelta(minutes=15), description="time for the image to come and the server to answer"
    )
    deadline: Duration = Field(
        default=timedelta(hours=6),
        description="time after which the cluster itself ends a Job and removes it",
    )

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.deadline < timedelta(minutes=10) or self.deadline <= self.ready_within:
            reject(
                "the cluster would end the Job before its drill is done",
                "Give deadline more than ready_within, and 10m at least",
            )
        return self


class DrillPolicy(Section):
    """How often a backup is restored to prove it, and into what: `cluster`, or `DRILL_MONGODB_URI`."""

    every: Duration = Field(default=timedelta(days=7), description="time between two restore drills")
    alarm_after: Duration = Field(
        default=timedelta(days=8), description="time without a drill that proved its backup which is an alarm"
    )
    key_alarm_after: Duration = Field(
        default=timedelta(days=180),
        description="time without `groundcrew keys drill`, which shows that the offline key opens a backup; "
        "the status tells when it is over",
    )
    when_vm_off: Literal["wake", "skip"] = Field(
        default="wake",
        description="a drill whose MongoDB does not answer while the VM is off on purpose: start it, or skip",
    )

    cluster: DrillClusterPolicy | None = Field(
        default=None,
        description="a MongoDB that each drill starts in the cluster; without it the setting "
        "DRILL_MONGODB_URI names one that is there always",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.every < timedelta(hours=1):
            reject("every is shorter than an hour", "A drill restores everything: write 1d or more")
        # As long as the interval, it would be an alarm on each day of a drill, until that drill has ended.
        if self.alarm_after <= self.every:
            reject("alarm_after is not longer than every", "Give a drill the time to end: write a day more")
        return self
