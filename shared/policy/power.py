"""The policy of power: which machines run when, and how they are stopped."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from shared.policy.countries import check_country

from .base import Duration, Name, Section, TagPair, WeeklyWindow, Zone, max_hours, reject
from .computed import ComputedMachinePolicy, ComputedPowerPolicy
from .values import Window, find_overlaps


class Holidays(Section):
    """Public holidays by country, as the `holidays` library knows them."""

    country: str = Field(description="ISO 3166-1 code, as DE", examples=["DE"])
    subdivision: str | None = Field(
        default=None, description="ISO 3166-2 part after the country, as BY", examples=["BY"]
    )

    @model_validator(mode="after")
    def _exists(self) -> Self:
        complaint = check_country(self.country, self.subdivision)
        if complaint:
            reject(*complaint)
        return self


class Vacation(Section):
    """Days on which nobody works, both ends included."""

    first: date = Field(description="the first day", examples=["2026-12-24"])
    last: date = Field(description="the last day", examples=["2027-01-01"])
    name: str = Field(default="vacation", max_length=80, description="what it is called in messages")

    @model_validator(mode="after")
    def _is_forward(self) -> Self:
        if self.last < self.first:
            reject(f"ends on {self.last}, before it begins on {self.first}", "Exchange first and last")
        # Most likely a wrong year: the machine would stay off for that long, and say "vacation".
        if self.last - self.first > timedelta(days=366):
            reject("is longer than a year", "Check the years, or remove the machine's windows")
        return self


class MachinePolicy(ComputedMachinePolicy, Section):
    """A VM or AKS cluster, named or found by a tag, and the local times at which it runs."""

    name: Name | None = Field(default=None, description="the resource's name; either this or tag")
    tag: TagPair | None = Field(
        default=None, description="`key=value` of the resources' tag; either this or name"
    )
    kind: Literal["vm", "aks"] = Field(default="vm", description="a virtual machine or an AKS cluster")
    timezone: Zone | None = Field(default=None, description="IANA zone of the windows, if not the policy's")
    windows: tuple[WeeklyWindow, ...] = Field(
        default=(),
        description="when it runs; `[]` keeps it off except by order; over midnight is allowed",
    )
    carries: tuple[Literal["mongodb", "rocketchat"], ...] | None = Field(
        default=None,
        description="what runs on it, for wakes, holds and health; if no machine says, the first has both",
        examples=[["mongodb", "rocketchat"]],
    )
    after: tuple[Name, ...] = Field(
        default=(),
        description="names of machines that start before this one and stop after it",
        examples=[["mongodb-vm"]],
    )
    on_days_off: bool = Field(default=False, description="whether it also runs on holidays and vacations")
    alternatives: tuple[Name, ...] = Field(
        default=(), description="sizes to suggest when Azure has no capacity"
    )

    @field_validator("windows")
    @classmethod
    def _apart(cls, windows: tuple[Window, ...]) -> tuple[Window, ...]:
        pairs = find_overlaps(windows)
        if pairs:
            texts = "; ".join(f"'{windows[left]}' and '{windows[right]}'" for left, right in pairs)
            reject(f"windows overlap: {texts}", "Join them, or move one")
        return windows

    @model_validator(mode="after")
    def _is_named(self) -> Self:
        if (self.name is None) == (self.tag is None):
            reject("a machine needs either a name or a tag", "Give one of the two")
        return self

    @model_validator(mode="after")
    def _says_when(self) -> Self:
        # Nobody means by a bare name that the machine is stopped in a quarter of an hour, for good.
        if "windows" not in self.model_fields_set:
            reject(
                "a machine needs windows, or it would be stopped at once and stay off",
                "Write windows, as ['Mon-Fri 07:00-19:00'], or `windows: []` to keep it off except by order",
            )
        return self


class PowerPolicy(ComputedPowerPolicy, Section):
    """When machines run, and how they are stopped."""

    machines: tuple[MachinePolicy, ...] = Field(
        default=(), description="the machines under schedule; others are left alone"
    )
    holidays: Holidays | None = Field(default=None, description="public holidays, on which machines stay off")
    vacations: tuple[Vacation, ...] = Field(
        default=(), description="spans of days on which machines stay off"
    )
    # The bounds of this section keep a slip of a unit (`15h`) from being obeyed: it would cost a day of money
    # or of work.
    warning: Annotated[Duration, max_hours(4)] = Field(
        default=timedelta(minutes=15), description="how long before a stop the chat is warned"
    )
    graceful_stop: Annotated[Duration, max_hours(1)] = Field(
        default=timedelta(minutes=5), description="time for `microk8s stop` before deallocation"
    )
    ask_collector: bool = Field(
        default=True,
        description="whether a pod asks, before Rocket.Chat is started after a stop, if "
        "collector.rocket.chat can be reached: without a licence the server is read-only ten days after its "
        "last report",
    )
    # Without it, an order that ends just after a start would stop a machine that nobody could use yet.
    min_up: Annotated[Duration, max_hours(24)] = Field(
        default=timedelta(minutes=30), description="once started, a machine runs at least so long"
    )
    # A backup or a deploy that hangs must not keep a machine running for a weekend.
    refresh_windows: tuple[WeeklyWindow, ...] = Field(
        default=(),
        description="when MicroK8s may be refreshed, after a snapshot of the same day; `[]`: never",
        examples=[["Tue 07:00-09:00"]],
    )
    max_hold: Annotated[Duration, max_hours(48)] = Field(
        default=timedelta(hours=12), description="longest time for which work in flight delays a stop"
    )
    settle: Annotated[Duration, max_hours(4)] = Field(
        default=timedelta(minutes=15), description="after which a start or stop without effect has failed"
    )

    @field_validator("machines")
    @classmethod
    def _check_unique_names(cls, machines: tuple[MachinePolicy, ...]) -> tuple[MachinePolicy, ...]:
        names: set[tuple[str, str]] = set()
        for machine in machines:
            if (machine.kind, machine.label.lower()) in names:
                reject(f"'{machine.label}' is listed twice", "Give all its windows in one entry")
            names.add((machine.kind, machine.label.lower()))
        return machines

    @model_validator(mode="after")
    def _can_be_ordered(self) -> Self:
        after = {m.label.lower(): {name.lower() for name in m.after} for m in self.machines}
        for name, others in after.items():
            if unknown := sorted(others - after.keys()):
                hint = "Name a machine of this list"
                reject(f"'{name}' is to start after '{unknown[0]}', which is not listed", hint)
        # Whoever waits for nobody is taken out, again and again: what remains is a circle, and would never
        # start.
        waiting = dict(after)
        while free := [name for name, others in waiting.items() if not others & waiting.keys()]:
            for name in free:
                del waiting[name]
        if waiting:
            names = "', '".join(sorted(waiting))
            reject(f"'{names}' wait for each other", "Take one `after` out")
        return self

    @model_validator(mode="after")
    def _can_be_refreshed(self) -> Self:
        carriers = [one for one in self.machines if one.kind == "vm" and self.carried_by(one)]
        for window in self.refresh_windows:
            if not any(find_overlaps((window, other)) for one in carriers for other in one.windows):
                reject(
                    f"no machine with MicroK8s is up in the refresh window '{window}'",
                    "Choose a time in the windows of the machine that carries the server",
                )
        return self
