"""The policy of backups: what is taken, how it is packed, how long it is kept."""

from __future__ import annotations

from datetime import timedelta
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema, model_validator

from .base import DailyAge, Duration, Glob, MonthlyAge, RouteName, Section, Size, WeeklyAge, reject
from .cluster_state import ClusterStatePolicy
from .computed import ComputedBackupPolicy, ComputedRetention
from .drill import DrillPolicy
from .pitr import PitrPolicy
from .values import format_policy_duration

# Without these a restored server has lost its people, its messages or its files.
PROTECTED = (
    "users", "rocketchat_message", "rocketchat_room", "rocketchat_subscription", "rocketchat_settings",
    "rocketchat_uploads", "rocketchat_uploads.files", "rocketchat_uploads.chunks",
)  # fmt: skip


class Retention(ComputedRetention, Section):
    """How long each class is kept, by age, so that nobody shortens it by adding entries.

    A count means that many of the class's own periods: `weekly: 5` is five weeks, a month has 31 days.
    """

    daily: DailyAge = Field(
        default=timedelta(days=14), description="age up to which daily ones are kept; a count is days"
    )
    weekly: WeeklyAge | None = Field(
        default=None, description="the same for the first of each week; a count is weeks"
    )
    monthly: MonthlyAge | None = Field(
        default=None, description="the same for the first of each month; a count is months of 31 days"
    )
    # Counted before any age: if backups fail for a month, age alone would delete the last one that restores.
    minimum: int = Field(
        default=3, ge=1, le=1000, description="so many of the newest good ones are kept whatever their age"
    )
    maximum: int | None = Field(
        default=None, ge=2, le=100_000, description="so many at most, the shortest-lived go first"
    )
    failed: Duration = Field(
        default=timedelta(days=2), description="age up to which failed and unfinished ones are kept"
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        limits = list(self.ages.items())
        # A longer class that ends sooner would never keep anything that the shorter one does not, and
        # somebody believes it does.
        for (shorter, low), (longer, high) in pairwise(limits):
            if high <= low:
                problem = f"{longer} is kept for {format_policy_duration(high)}, no longer than {shorter}"
                reject(problem, f"Give {longer} more than {format_policy_duration(low)}, or leave it out")
        if self.daily < timedelta(days=1):
            reject(
                f"daily is kept for {format_policy_duration(self.daily)}: the next day there is none",
                "Keep a day or more",
            )
        if self.maximum is not None and self.maximum < self.minimum:
            reject(
                f"maximum {self.maximum} is below minimum {self.minimum}", "Raise maximum or lower minimum"
            )
        return self


class BackupRetention(Retention):
    """How long each class of backup sets is kept, by age; `weekly: null` leaves that class out."""

    weekly: WeeklyAge | None = Field(
        default=timedelta(weeks=8), description="the same for the first of each week; a count is weeks"
    )
    monthly: MonthlyAge | None = Field(
        default=timedelta(days=400),
        description="the same for the first of each month; a count is months of 31 days",
    )


def _databases(value: object) -> tuple[str, ...]:
    if value == "all":
        return ()
    hint = "Write 'all' or a list like [rocketchat]"
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) and name for name in value):
        reject("databases is neither 'all' nor a list of names", hint)
    if not value:
        reject("no database would be backed up", hint)
    return tuple(value)


# A part is one message and one dump: below, a set has thousands of them; above, a worker's ten minutes do not
# suffice and every retry begins the part anew.
def _sensible_part(size: int) -> int:
    if not 1 << 20 <= size <= 64 << 30:
        reject("a part is from 1 MiB to 64 GiB", "Write 512 MiB, or another size between these")
    return size


def _sensible_rate(size: int) -> int:
    # Below, a few workers wait in turn for longer than a pause may last.
    if size < 1 << 20:
        reject("less than 1 MiB a second would not end by morning", "Write 40 MiB, or leave it out")
    return size


def _may_be_excluded(pattern: str) -> str:
    # `rocketchat.users` is meant as db.collection by whoever writes it. It would match no collection, but the
    # intention is told anyway.
    _, _, rest = pattern.partition(".")
    for name in PROTECTED:
        if fnmatchcase(name, pattern) or name == rest:
            reject(
                f"'{pattern}' would leave {name} out of the backup",
                "Without it a restore is worth little; remove it",
            )
    if pattern.startswith("rocketchat_uploads"):
        reject(
            f"'{pattern}' would leave uploads out of the backup",
            "People's files are always backed up; remove it",
        )
    return pattern


class BackupPolicy(ComputedBackupPolicy, Section):
    """What a backup holds and how it is stored; when it runs is the timer's app setting."""

    databases: Annotated[
        tuple[str, ...],
        PlainValidator(_databases),
        WithJsonSchema(
            {
                "anyOf": [
                    {"const": "all"},
                    {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
                ]
            }
        ),
    ] = Field(
        default=(), description="`all`, or the names of the databases", json_schema_extra={"default": "all"}
    )
    exclude: tuple[Annotated[Glob, AfterValidator(_may_be_excluded)], ...] = Field(
        default=(),
        description="collections left out, `*` allowed; never uploads, users, messages, rooms, settings",
    )
    part_target: Annotated[Size, AfterValidator(_sensible_part)] = Field(
        default=512 << 20,
        description="uncompressed size at which a part is closed",
        json_schema_extra={"default": "512 MiB"},
    )
    compression: Literal["fast", "small"] = Field(
        default="fast", description="zstd for speed (3) or for size (5)"
    )
    level: int | None = Field(default=None, ge=1, le=19, description="the zstd level, if neither fits")
    # None by default: who backs up at night wants it to be over, and a budget that is too small never ends.
    read_limit: Annotated[Size, AfterValidator(_sensible_rate)] | None = Field(
        default=None,
        description="what all workers together read from MongoDB a second at most; without it as fast as it "
        "goes",
        examples=["40 MiB"],
    )
    # `lifecycle` by default: the storage deletes by its own rules, and the app needs no right to delete
    # backups at all.
    retention: Literal["lifecycle", "self"] = Field(
        default="lifecycle", description="who deletes: the storage's lifecycle rules, or the app by plan"
    )
    keep: BackupRetention = Field(default=BackupRetention(), description="how long each class is kept")
    # A machine that is off at night would otherwise never be backed up, and nobody would be told since
    # nothing failed.
    when_vm_off: Literal["wake", "before_stop", "skip"] = Field(
        default="wake",
        description="a backup that is due while the VM is off: wake it, run before the stop, or skip",
    )
    # A night and a half: one failed night is made up for by the retries, a second one is what somebody has to
    # see.
    alarm_after: Duration = Field(
        default=timedelta(hours=36), description="age of the newest good backup that is an alarm"
    )
    pitr: PitrPolicy = Field(default=PitrPolicy(), description="the oplog between two backups")
    restore_targets: tuple[RouteName, ...] = Field(
        default=(),
        description="names of the servers that two people may have a backup restored into from the chat; "
        "their addresses are the setting GROUNDCREW_RESTORE_TARGETS. Never production",
        examples=[["inspection"]],
    )
    drill: DrillPolicy = Field(default=DrillPolicy(), description="restores that prove the backups")
    cluster_state: ClusterStatePolicy = Field(
        default=ClusterStatePolicy(), description="Helm's values, certificates and Secrets in the same set"
    )
