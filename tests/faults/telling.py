"""What people are told, in a storm: nothing that was to be said is lost, and nothing is said without end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta

from local.chat import ChatServer
from shared.kernel.errors import GroundcrewError
from shared.notifications.decide import MAX_BACKOFF
from shared.notifications.model import Notice, Severity
from tests.faults.storm import STEP_FAULTS, WORLD_FAULTS, Storm, Surroundings
from tests.support.notification_world import ROUTES, NotificationWorld

_LOST, _DOUBLED = "a message lost", "a message doubled"


def run_notifications(storm: Storm) -> None:
    """Notices of any severity: each is heard, and nowhere more than once again for having been cut off."""
    with ChatServer() as server:
        world = NotificationWorld(server)
        around = Surroundings(world.clock, world.blobs)
        told = []
        for number in storm.strikes():
            severity = storm.random.choice([*Severity])
            notice = Notice(severity, f"news-{number}", "It happened.", key=f"news/{number}")
            told.append(notice)
            _tell(storm, world, notice, around)
            _die(world)
            with contextlib.suppress(GroundcrewError):
                world.storing().notify(notice)  # the job's next run, which does not know what became of it
        for _ in range(4):
            world.clock.advance(MAX_BACKOFF)
            world.deliver()
        outbox = world.sender().outbox
        # Somebody's file is listed, too, and is no group.
        assert all(outbox.load(name).is_empty for name in outbox.list_pending())
        for notice in told:
            heard = [sum(notice.title in text for text in world.heard(route)) for route in ROUTES]
            assert sum(heard) >= 1, notice
            assert max(heard) <= 2, (notice, heard)


def _tell(storm: Storm, world: NotificationWorld, notice: Notice, around: Surroundings) -> None:
    name = storm.choose(_LOST, _DOUBLED)
    if name in STEP_FAULTS or name in WORLD_FAULTS:
        storm.strike(name, lambda plan: world.notifier(plan).notify(notice), lambda: _die(world), around)
        return
    storm.note(name)
    world.storing().notify(notice)
    # The queue's message only wakes the sender: without it the next tick comes to what waits.
    for _ in range(2 if name == _DOUBLED else 0):
        world.deliver()


def _die(world: NotificationWorld) -> None:
    world.blobs.holders_died()
    world.clock.advance(timedelta(minutes=5))


TELLING: dict[str, Callable[[Storm], None]] = {"notifications": run_notifications}
