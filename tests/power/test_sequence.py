"""The order of start and stop among machines: the database's first up, last off."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.cloud.machines import PowerState
from shared.kernel.errors import UsageError
from shared.policy import parse_policy
from shared.power import job as power
from shared.power.attempts import Act
from shared.power.model import PowerDecision, PowerStatus
from shared.power.sequence import SequencedMachine, find_waits
from tests.support.power_world import TICK

TWO = """
timezone: Europe/Berlin
power:
  machines:
    - {name: rocketchat, windows: [Mon-Fri 07:00-19:00], after: [mongodb], carries: [rocketchat]}
    - {name: mongodb, windows: [Mon-Fri 07:00-19:00], carries: [mongodb]}
"""


@pytest.fixture
def pair(make_world, at):
    world = make_world(TWO)
    world.mongodb = world.machines.add("mongodb", power=PowerState.DEALLOCATED)
    world.add()
    world.clock.set(at("6:55"))
    return world


def state_of(world, identity: str) -> PowerState:
    return world.machines.get_state(identity).power


def tick_until(world, until) -> list[tuple[PowerState, PowerState]]:
    """The states of chat and database after each minute."""
    seen = []
    while world.clock.now() <= until:
        power.run_tick(world.job())
        seen.append((state_of(world, world.id), state_of(world, world.mongodb)))
        world.clock.advance(timedelta(minutes=1))
    return seen


def test_the_chat_starts_after_its_database_and_stops_before_it(pair, at) -> None:
    up = tick_until(pair, at("7:20"))
    assert up[-1] == (PowerState.RUNNING, PowerState.RUNNING)
    begun = next(states for states in up if states[0] is not PowerState.DEALLOCATED)
    assert begun == (PowerState.STARTING, PowerState.RUNNING)
    pair.clock.set(at("18:30"))
    down = tick_until(pair, at("19:30"))
    assert down[-1] == (PowerState.DEALLOCATED, PowerState.DEALLOCATED)
    begun = next(states for states in down if states[1] is not PowerState.RUNNING)
    assert begun == (PowerState.DEALLOCATED, PowerState.DEALLOCATING)


def test_looking_says_what_is_waited_for(pair, at) -> None:
    pair.clock.set(at("7:00"))
    chat, database = power.preview_tick(pair.job())
    assert (chat.decision.act, database.decision.act) == (Act.WAIT, Act.START)
    assert chat.decision.reasons[-1] == "waiting until mongodb runs"


def test_one_machine_alone_waits_for_the_other_too(pair, at) -> None:
    pair.clock.set(at("7:00"))
    (chat,) = power.run_tick(pair.job(), only="rocketchat")
    assert chat.decision.act is Act.WAIT
    assert pair.machines.calls["begin_start"] == 0


def test_a_database_that_does_not_start_keeps_the_chat_from_nothing(pair, at) -> None:
    pair.machines.fail_start(times=50)
    pair.clock.set(at("7:00"))
    while pair.clock.now() < at("7:30"):
        power.run_tick(pair.job())
        pair.clock.advance(TICK)
    assert pair.machines.calls["begin_start"] > 2
    assert any("mongodb needs attention" in title for title in pair.notifications.titles)


def test_an_order_for_the_chat_keeps_its_database_up(pair, at) -> None:
    tick_until(pair, at("7:20"))
    power.place_order(pair.job(), "rocketchat", "up until 20:00", by="ana")
    pair.clock.set(at("18:30"))
    seen = tick_until(pair, at("19:55"))
    assert set(seen) == {(PowerState.RUNNING, PowerState.RUNNING)}


@pytest.mark.parametrize(
    ("machines", "problem"),
    [
        ("{name: a, windows: [], after: [b]}", "is not listed"),
        ("{name: a, windows: [], after: [a]}", "wait for each other"),
        ("{name: a, windows: [], after: [b]}, {name: b, windows: [], after: [A]}", "'a', 'b' wait for each"),
    ],
)
def test_an_order_that_cannot_be_kept_is_a_mistake_in_policy(machines: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        parse_policy(f"power: {{machines: [{machines}]}}")


def machine(name: str, state: PowerStatus, act: Act, *, up: bool, alarm: bool = False) -> SequencedMachine:
    after = ("DB",) if name == "chat" else ()
    decision = PowerDecision(act, "id", up, ("because",), alarm=alarm)
    return SequencedMachine(name, name, after, state, decision)


@pytest.mark.parametrize(
    ("chat", "database", "waits"),
    [
        pytest.param(
            machine("chat", PowerStatus.DEALLOCATED, Act.START, up=True),
            machine("db", PowerStatus.STARTING, Act.NONE, up=True),
            {"chat"}, id="starting",
        ),
        pytest.param(
            machine("chat", PowerStatus.DEALLOCATED, Act.START, up=True),
            machine("db", PowerStatus.RUNNING, Act.NONE, up=True),
            set(), id="it runs",
        ),
        pytest.param(
            machine("chat", PowerStatus.DEALLOCATED, Act.START, up=True),
            machine("db", PowerStatus.DEALLOCATED, Act.NONE, up=False),
            set(), id="the database is not to run: nothing to wait for",
        ),
        pytest.param(
            machine("chat", PowerStatus.DEALLOCATED, Act.START, up=True),
            machine("db", PowerStatus.DEALLOCATED, Act.NONE, up=True),
            set(), id="a person stopped the database",
        ),
        pytest.param(
            machine("chat", PowerStatus.DEALLOCATED, Act.START, up=True),
            machine("db", PowerStatus.DEALLOCATED, Act.WAIT, up=True, alarm=True),
            set(), id="the database does not start",
        ),
        pytest.param(
            machine("chat", PowerStatus.RUNNING, Act.WAIT, up=False),
            machine("db", PowerStatus.RUNNING, Act.STOP, up=False),
            {"db"}, id="the chat is held",
        ),
        pytest.param(
            machine("chat", PowerStatus.DEALLOCATING, Act.NONE, up=False),
            machine("db", PowerStatus.RUNNING, Act.STOP, up=False),
            {"db"}, id="the chat is going off",
        ),
        pytest.param(
            machine("chat", PowerStatus.MISSING, Act.NONE, up=False, alarm=True),
            machine("db", PowerStatus.RUNNING, Act.STOP, up=False),
            set(), id="the chat is gone",
        ),
        pytest.param(
            machine("chat", PowerStatus.RUNNING, Act.NONE, up=False, alarm=True),
            machine("db", PowerStatus.RUNNING, Act.STOP, up=False),
            set(), id="the chat cannot be stopped",
        ),
        pytest.param(
            machine("chat", PowerStatus.RUNNING, Act.STOP, up=False),
            machine("db", PowerStatus.RUNNING, Act.NONE, up=True),
            set(), id="the chat alone",
        ),
    ],
)  # fmt: skip
def test_who_waits_for_whom(chat: SequencedMachine, database: SequencedMachine, waits: set[str]) -> None:
    assert set(find_waits([chat, database])) == waits
