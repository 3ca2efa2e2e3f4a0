"""The policy of the oplog's capture, which lets any second between two backups be restored."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator

from .base import Duration, Section, reject


class PitrPolicy(Section):
    """Whether the oplog is captured between two backups, and when its lateness is an alarm."""

    enabled: bool = Field(default=True, description="whether the oplog is captured every five minutes")
    alarm_after: Duration = Field(
        default=timedelta(minutes=20), description="age of the newest captured entry that is an alarm"
    )
    # The oplog is a ring: what the capture has not read before it is overwritten cannot be had again.
    window_alarm: Duration = Field(
        default=timedelta(hours=12),
        description="a full oplog that reaches back no further than this is an alarm: a longer outage of the "
        "capture would leave a gap",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        # Two captures: a single one that was late or retried is no news.
        if self.alarm_after < timedelta(minutes=10):
            reject("alarm_after is shorter than 10m", "It is captured every five minutes: write 10m or more")
        return self
