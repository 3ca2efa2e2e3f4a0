"""What people ask for, in a storm: commands in the chat, and rehearsals of a pull request."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from datetime import timedelta

from shared.chatops.job import handle_request
from shared.chatops.model import ChatRequest
from shared.chatops.records import DeliveryRecord, delivery_key
from shared.chatops.replies import fence_text
from shared.formats.rehearsals import INTERRUPTED, PASSED
from shared.kernel.errors import Corrupt, GroundcrewError
from shared.records.holds import Holds
from shared.rehearsal.request import QUEUE as REHEARSALS
from tests.faults.storm import STEP_FAULTS, WORLD_FAULTS, Storm, Surroundings
from tests.support.chat_world import ChatWorld
from tests.support.rehearsal_world import RehearsalWorld

_LOST, _DOUBLED = "a message lost", "a message doubled"
_TRIES = 5  # of a message of the queue, until it is poison
_STEPS = range(16)  # of a command, of which later ones come only after more tries


def run_commands(storm: Storm) -> None:
    """A command of one person, one with a code, one of two people: each done once at most, and answered."""
    world = ChatWorld()
    line = storm.random.choice(["up until 22:00", "down", "rollback 3"])
    request = world.message("uAna", line)
    if line == "down":
        request = world.message(
            "uAna", f"down confirm {_find(r'confirm ([0-9a-f]{8})', world.say('uAna', line))}"
        )
    if line.startswith("rollback"):
        asked = _answer_in_storm(storm, world, request)
        if asked.outcome != "asked":
            # Cut off before the request was told: nothing may have been done for it.
            assert world.done == []
            asked_again = world.say("uAna", line)
        else:
            asked_again = asked.answer
        request = world.message("uBob", f"approve {_find(r'approve ([0-9a-f]{16})', asked_again)}")
    ended = _answer_in_storm(storm, world, request)
    assert len(world.done) <= 1, world.done
    if ended.outcome == "done":
        assert len(world.done) == 1
        # What was done is in the audit trail before anybody is told of it, unless that is said.
        with contextlib.suppress(Corrupt):  # somebody's file among its entries
            assert any(f"did {line}" in one for one in world.outcomes()) or "audit trail" in ended.answer
    else:
        assert ended.outcome in ("interrupted", "failed", "refused"), ended
        assert not world.done or ended.outcome != "refused", ended


def _answer_in_storm(storm: Storm, world: ChatWorld, request: ChatRequest) -> DeliveryRecord:
    """The record of a delivery that is tried until it is answered, as the queue does."""
    around = Surroundings(world.clock, world.state)
    strikes = storm.strikes()
    for _ in strikes:
        name = storm.choose(_DOUBLED)
        if name == _DOUBLED:
            storm.note(name)
            with contextlib.suppress(GroundcrewError):
                handle_request(world.deps(), request)
        else:
            storm.strike(
                name,
                lambda plan: handle_request(world.deps(plan), request),
                world.state.holders_died,
                around,
                steps=_STEPS,
            )
        world.state.holders_died()
    for number in range(_TRIES):
        world.clock.advance(timedelta(minutes=1))
        with contextlib.suppress(GroundcrewError):
            handle_request(world.deps(), request, last_try=number == _TRIES - 1)
    record = world.deps().deliveries.load(delivery_key(request))
    assert record.posted
    told = [post.text for post in world.rooms.posts if post.thread == request.message]
    assert 1 <= len(told) <= 1 + len(strikes)
    # Told again for having been cut off, but never another thing.
    assert len(set(told)) == 1
    assert told[0] == fence_text(record.answer)
    return record


def _find(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found is not None, text
    return found[1]


def run_rehearsals(storm: Storm) -> None:
    """A rehearsal that was asked for: its end is on record and told, and nothing of its copy is left."""
    world = RehearsalWorld()
    pull = world.propose()
    around = Surroundings(world.clock, world.world.state)
    world.begin(pull)
    for _ in storm.strikes():
        name = storm.choose(_LOST, _DOUBLED)
        if name in STEP_FAULTS or name in WORLD_FAULTS:
            storm.strike(name, lambda plan: world.work(plan, most=1), world.die, around)
            world.die()  # a lease that could not be given back ends by itself
        elif body := world.world.queues.take(REHEARSALS):
            storm.note(name)
            for _ in range(2 if name == _DOUBLED else 0):
                world.world.queues.send(REHEARSALS, body)
    for _ in range(3):  # calm: the deploy asks again where it has heard nothing
        world.die()
        world.clock.advance(timedelta(hours=1))
        with contextlib.suppress(GroundcrewError):
            world.begin(pull)
        world.work()
    record = world.record(pull.head_sha)
    assert record.ended, record
    assert record.state in (PASSED, INTERRUPTED), record
    assert record.state == PASSED or record.problem
    assert world.cluster.is_empty
    assert Holds(world.world.state, world.clock).list_in_force() == ()
    assert world.world.queues.length(REHEARSALS) == 0
    assert world.people.told
    assert len(world.comments(pull)) >= 1


ASKING: dict[str, Callable[[Storm], None]] = {"chat command": run_commands, "rehearsal": run_rehearsals}
