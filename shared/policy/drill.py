"""The policy of restore drills."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, model_validator

from .base import Duration, Section, reject


class DrillPolicy(Section):
    """How often a backup is restored to prove it; into what is the setting `DRILL_MONGODB_URI`."""

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

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.every < timedelta(hours=1):
            reject("every is shorter than an hour", "A drill restores everything: write 1d or more")
        # As long as the interval, it would be an alarm on each day of a drill, until that drill has ended.
        if self.alarm_after <= self.every:
            reject("alarm_after is not longer than every", "Give a drill the time to end: write a day more")
        return self
