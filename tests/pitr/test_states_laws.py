"""For random sequences of operations the state restored at each one's time is the true state then."""

from __future__ import annotations

import random

import bson
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
        self.states: dict[Timestamp, tuple[dict[str, set[bytes]], dict[str, set[str]]]] = {}
        self.open: dict[int, list[tuple[str, str, dict[str, object]]]] = {}
        self.number = 0
        for name in COLLECTIONS[:2]:
            self.database.write("rocketchat", name, {"_id": 0, "v": 0})
        self.captures.seal()
        self.capture()

    def step(self) -> None:
        acts = (
            self.write, self.write, self.update, self.delete, self.drop, self.rename, self.begin, self.commit,
            self.add_index, self.drop_index, self.write_out, self.database.tick, self.capture, self.capture,
            self.seal,
        )  # fmt: skip
        self.dice.choice(acts)()
        self.states[self.database.newest()] = self.database.contents(), self.database.index_names()

    def pick(self) -> str:
        """A collection that exists, or one that does not yet."""
        return self.dice.choice(COLLECTIONS)

    def exists(self, name: str) -> bool:
        return f"rocketchat.{name}" in self.database.contents()

    def document(self) -> dict[str, object]:
        self.number += 1
        return {"_id": self.dice.randrange(4), "v": self.number}

    def make(self, name: str) -> None:
        """As mongod does before it writes into a collection that is not there yet."""
        if not self.exists(name):
            self.database.create_logged("rocketchat", name, {})

    def write(self) -> None:
        name = self.pick()
        self.make(name)
        self.database.write("rocketchat", name, self.document())

    def update(self) -> None:
        """Of a document that is there, by the oplog's own form of a change."""
        name = self.pick()
        documents = self.database.contents().get(f"rocketchat.{name}") or set()
        if documents:
            identity = bson.decode(min(documents))["_id"]
            self.number += 1
            change = {"$v": 2, "diff": {"u": {"v": self.number}, "i": {f"f{self.number}": 1}}}
            self.database.update("rocketchat", name, identity, change)

    def add_index(self) -> None:
        name, field = self.pick(), self.dice.choice("vw")
        if self.exists(name):
            self.database.add_index("rocketchat", name, field)

    def drop_index(self) -> None:
        name, field = self.pick(), self.dice.choice("vw")
        if f"{field}_1" in self.database.index_names().get(f"rocketchat.{name}", ()):
            self.database.drop_index("rocketchat", name, f"{field}_1")

    def write_out(self) -> None:
        """As `$out` and `convertToCapped` do it: a new collection takes the place of the old one."""
        self.database.create_logged("rocketchat", "tmp.agg_out", {"temp": True})
        for identity in range(2):
            document = {**self.document(), "_id": identity}
            self.database.write("rocketchat", "tmp.agg_out", document)
        self.database.rename("rocketchat", "tmp.agg_out", self.pick(), drop_target=True)

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
            self.database.rename("rocketchat", old, new, drop_target=self.exists(new))

    def begin(self) -> None:
        """A large transaction, whose parts may lie in different slices."""
        self.number += 1
        writes = [("rocketchat", self.pick(), self.document()) for _ in range(2)]
        self.open[self.number] = writes
        self.database.begin_transaction(self.number, writes)

    def commit(self) -> None:
        if self.open:
            number = min(self.open)
            for _, name, _ in self.open.pop(number):
                self.make(name)
            self.database.commit_transaction(number)

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
    for moment, (state, indexes) in history.states.items():
        result, target = history.captures.restore(moment)
        assert result.problems == []
        restored = {name: found for name, found in target.contents().items() if found}
        assert restored == {name: found for name, found in state.items() if found}, (seed, moment)
        restored_indexes = {name: names for name, names in target.index_names().items() if name in restored}
        assert restored_indexes == {name: indexes[name] for name in restored}, (seed, moment)
