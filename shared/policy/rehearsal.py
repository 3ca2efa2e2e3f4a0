"""The policy of rehearsals: when an upgrade is tried on last night's backup before it ships, and where."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, model_validator

from .base import Duration, Section, reject
from .cluster_values import Label, MongodbImage, ScratchMemory, ScratchStorage


class RehearsalPolicy(Section):
    """A new Rocket.Chat is started on a copy of the newest backup first; its gate closes if that fails.

    The namespace, its isolation and the app's rights in it are in infra/chart/rbac-rehearsal.yaml. The copy
    is opened with `GROUNDCREW_DRILL_KEY`.
    """

    when: Literal["never", "majors", "versions", "always"] = Field(
        default="never",
        description="which deploys are rehearsed: those to another major of Rocket.Chat, to another version, "
        "or all of them",
    )
    images: tuple[MongodbImage, ...] = Field(
        default=(),
        max_length=8,
        description="images of MongoDB with their full version, as in backup.drill.cluster.images",
        examples=[["docker.io/library/mongo:8.0.15"]],
    )
    namespace: Label = Field(
        default="groundcrew-rehearsal", description="where the copy runs; used for nothing else"
    )
    cpus: int = Field(
        default=2, ge=1, le=64, description="the most that MongoDB and Rocket.Chat each may use"
    )
    memory: ScratchMemory = Field(
        default=3 << 30, description="the memory of MongoDB", json_schema_extra={"default": "3 GiB"}
    )
    chat_memory: ScratchMemory = Field(
        default=2 << 30, description="the memory of Rocket.Chat", json_schema_extra={"default": "2 GiB"}
    )
    storage_limit: ScratchStorage = Field(
        default=64 << 30,
        description="the most that the copy may take of the node's disk; three times the set's uncompressed "
        "data is asked for, since migrations write anew, and it is refused above this",
        json_schema_extra={"default": "64 GiB"},
    )
    max_age: Duration = Field(
        default=timedelta(hours=36), description="how old the backup may be that was rehearsed on"
    )
    ready_within: Duration = Field(
        default=timedelta(minutes=15), description="time for the images to come and MongoDB to answer"
    )
    start_within: Duration = Field(
        default=timedelta(hours=2), description="time for Rocket.Chat to migrate the copy and to answer"
    )
    deadline: Duration = Field(
        default=timedelta(hours=6), description="time after which the cluster itself ends it and removes it"
    )

    @model_validator(mode="after")
    def _can_be_run(self) -> Self:
        if self.when != "never" and not self.images:
            reject("rehearsals need an image of MongoDB", "Name it: images: [docker.io/library/mongo:8.0.15]")
        if self.deadline <= self.ready_within + self.start_within:
            reject(
                "the cluster would end the rehearsal before it is done",
                "Give deadline more than ready_within and start_within together",
            )
        return self
