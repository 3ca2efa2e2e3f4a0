"""For random sequences of operations the state restored at each one's time is the true state then."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.mongodb.model import Timestamp
from tests.support.capture_world import CaptureWorld

COLLECTIONS = ("a", "b", "c")


class History:
    """Does random things to a server that is captured now and then, and remembers each state."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.captures = CaptureWorld()
        self.database = self.captures.database
        self.states: dict[Timestamp, dict[str, set[bytes]]] = {}
        self.open: list[int] = []
        self.number = 0
        for name in COLLECTIONS[:2]:
            self.database.write("rocketchat", name, {"_id": 0, "v": 0})
        self.captures.seal()
        self.capture()

    def step(self) -> None:
        acts = (
            self.write, self.write, self.write, self.delete, self.drop, self.rename, self.begin, self.commit,
            self.database.tick, self.capture, self.capture, self.seal,
        )  # fmt: skip
        self.dice.choice(acts)()
        self.states[self.database.newest()] = self.database.contents()

    def pick(self) -> str:
        """A collection that exists, or one that does not yet."""
        return self.dice.choice(COLLECTIONS)

    def exists(self, name: str) -> bool:
        return f"rocketchat.{name}" in self.database.contents()

    def document(self) -> dict[str, object]:
        self.number += 1
        return {"_id": self.dice.randrange(4), "v": self.number}

    def write(self) -> None:
        self.database.write("rocketchat", self.pick(), self.document())

    def delete(self) -> None:
        name = self.pick()
        if self.exists(name):
            self.database.delete("rocketchat", name, self.dice.randrange(4))

    def drop(self) -> None:
        name = self.pick()
        if self.exists(name):
            self.database.drop("rocketchat", name)

    def rename(self) -> None:
        old, new = self.pick(), self.pick()
        if old != new and self.exists(old):
            self.database.rename("rocketchat", old, new)

    def begin(self) -> None:
        """A large transaction, whose parts may lie in different slices."""
        self.number += 1
        self.open.append(self.number)
        writes = [("rocketchat", self.pick(), self.document()) for _ in range(2)]
        self.database.begin_transaction(self.open[-1], writes)

    def commit(self) -> None:
        if self.open:
            self.database.commit_transaction(self.open.pop(0))

    def capture(self) -> None:
        self.captures.capture()

    def seal(self) -> None:
        """A new base in between, unless a transaction is open, whose dump would be begun before it."""
        if not self.open and self.dice.random() < 0.3 and self.database.contents():
            self.captures.seal()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_the_state_at_each_operations_time_is_restored_from_slices(seed: int) -> None:
    history = History(seed)
    for _ in range(14):
        history.step()
    history.database.tick()
    history.capture()
    for moment, state in history.states.items():
        result, target = history.captures.restore(moment)
        assert result.problems == []
        restored = {name: found for name, found in target.contents().items() if found}
        assert restored == {name: found for name, found in state.items() if found}, (seed, moment)
