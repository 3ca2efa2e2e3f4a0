"""Goes on changing a seeded Rocket.Chat database the way a server in use does, while a backup runs.

`Writer` runs in a thread; this module as a command runs until a signal or for some seconds. Between them its
actions write oplog entries of every kind: inserts, changes of fields, arrays and nested documents, removals,
replacements, deletes, commands, transactions.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, Self

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from local.rocketchat.live import chat, schema, server
from local.rocketchat.live.state import Live, load_state
from shared.kernel.errors import GroundcrewError, Unavailable

Action = Callable[[Live], int]

# How often each is picked; messages come with three or four writes of their own.
WEIGHTS: dict[Action, int] = {
    chat.post_message: 30,
    chat.read_room: 20,
    chat.react_to_message: 10,
    chat.connect_client: 8,
    server.send_heartbeat: 6,
    server.run_job: 6,
    chat.reply_in_thread: 5,
    chat.edit_message: 5,
    chat.star_message: 4,
    chat.delete_message: 4,
    server.queue_notification: 4,
    server.preview_link: 3,
    server.rotate_tokens: 3,
    chat.upload_file: 2,
    chat.remove_upload: 2,
    server.upsert_sessions: 2,
    server.change_setting: 2,
    server.replace_setting: 2,
    server.remove_fields: 2,
    server.append_capped: 2,
    server.run_bulk: 2,
    schema.commit_transaction: 2,
    schema.change_indexes: 1,
    schema.create_collection: 1,
    schema.change_options: 1,
    schema.empty_collection: 1,
    schema.abort_transaction: 1,
}
_SELECTION_MS, _SOCKET_MS = 2_000, 20_000
_JOIN_SECONDS = 30.0


class Writer:
    """A context manager that writes at `rate` write commands a second, as fast as it can if that is 0.

    It begins with every kind of action once, so that a short run too has them all; after that they come as
    `WEIGHTS` has it. Raises `UsageError` on entering if the database is not seeded, and `Unavailable` on
    leaving if a write failed meanwhile.
    """

    def __init__(self, uri: str, *, seed: int = 1, rate: float = 20.0, database: str = "rocketchat") -> None:
        self._seed, self._rate, self._database = seed, rate, database
        self._client = MongoClient[dict[str, Any]](
            uri,
            appname="groundcrew-writer",
            connect=False,
            serverSelectionTimeoutMS=_SELECTION_MS,
            socketTimeoutMS=_SOCKET_MS,
        )
        self._over = threading.Event()
        self._changed = threading.Condition()
        self._counts: Counter[str] = Counter()
        self._writes = 0
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._live: Live | None = None

    @property
    def counts(self) -> Counter[str]:
        """How many actions of each kind were completed so far."""
        with self._changed:
            return Counter(self._counts)

    @property
    def writes(self) -> int:
        """How many write commands were sent so far."""
        with self._changed:
            return self._writes

    @property
    def failed(self) -> bool:
        """Whether a write has failed, after which no more are made."""
        return self._failure is not None

    def wait_for(self, reached: Callable[[Counter[str]], bool], *, seconds: float) -> bool:
        """Wait until the counts are as `reached` wants them; False after that time or when a write failed."""
        with self._changed:
            self._changed.wait_for(lambda: self.failed or reached(self._counts), seconds)
            return reached(self._counts)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.stop()
        else:
            self._stop_thread()

    def start(self) -> None:
        """Look around in the database, then write in the background."""
        try:
            self._live = load_state(self._client, self._database, self._seed)
        except BaseException:
            self._client.close()
            raise
        self._thread.start()

    def stop(self) -> None:
        """Stop after the action under way. Raises `Unavailable` if a write failed."""
        self._stop_thread()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise Unavailable("The writer could not write", value=str(failure)[:300]) from failure

    def _stop_thread(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)
        self._client.close()

    def _run(self) -> None:
        assert self._live is not None  # noqa: S101 - start() has set it
        due = time.monotonic()
        try:
            for action in _draw_actions(self._live):
                if self._over.wait(max(0.0, due - time.monotonic())):
                    return
                # After a pause of the machine at most a second is made up for, not all of it in one burst.
                due = max(due, time.monotonic() - 1.0) + self._write(self._live, action)
        except Exception as error:  # noqa: BLE001 - handed to whoever calls stop()
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _write(self, live: Live, action: Action) -> float:
        """Seconds until the next action is due."""
        writes = action(live)
        with self._changed:
            self._counts[action.__name__] += 1
            self._writes += writes
            self._changed.notify_all()
        return writes / self._rate if self._rate else 0.0


def _draw_actions(live: Live) -> Iterator[Action]:
    yield from WEIGHTS
    many = [action for action, weight in WEIGHTS.items() for _ in range(weight)]
    while True:
        yield live.dice.pick_one(many)


def main(argv: list[str] | None = None) -> int:
    """Write to a seeded database until SIGINT or SIGTERM, or for some seconds; print what was done."""
    parser = argparse.ArgumentParser(prog="python -m local.rocketchat.writer", description=main.__doc__)
    parser.add_argument("--uri", required=True, help="connection string of a seeded MongoDB")
    parser.add_argument("--rate", type=float, default=20.0, help="write commands a second; 0: no limit")
    parser.add_argument("--seconds", type=float, help="stop after this time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", default="rocketchat")
    arguments = parser.parse_args(argv)
    over = threading.Event()

    def handle_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
        over.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle_signal)
    try:
        with Writer(
            arguments.uri, seed=arguments.seed, rate=arguments.rate, database=arguments.database
        ) as writer:
            deadline = None if arguments.seconds is None else time.monotonic() + arguments.seconds
            while not writer.failed and not over.wait(0.2):
                if deadline is not None and time.monotonic() > deadline:
                    break
    except (GroundcrewError, PyMongoError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.writelines(f"{kind}: {count}\n" for kind, count in writer.counts.most_common())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
