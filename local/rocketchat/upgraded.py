"""What runs in the pod of a rehearsal: MongoDB, the gate before the start, and a Rocket.Chat that migrates.

Put in the place of the containers of the simulated cluster by `run_in_pods`. The server does what a real one
does at a start, as far as anybody sees: it takes the lock of `migrations.control`, migrates, builds its
indexes, and answers; or it writes why it does not, and ends.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pymongo
import pymongo.errors

from local.kubernetes import KubernetesServer
from local.mongodb import MongoServer
from local.rocketchat.rest import ChatServerState, ChatUser, RestServer
from shared.rehearsal.model import CHAT, DATABASE, MARKER_COLLECTION, MARKER_DATABASE, START_GATE

MONGODB, ROCKETCHAT = ("mongo:", 27017), ("rocket.chat", 3000)  # images and ports, as forwards find them
_NAMESPACE = "groundcrew-rehearsal"  # of infra/chart/rbac-rehearsal.yaml
_LOOK_SECONDS = 0.1
_INTEGRATION_FIELDS = ("_id", "name", "type", "enabled", "channel", "scriptEnabled", "script")
_ATTEMPTS = 3  # to get the lock; the real one waits five minutes


@dataclass
class UpgradeStage:
    """What the programs share.

    - `schema`: the counter that the new version migrates to.
    - `drops_custom_oauth`: whether the start switches custom OAuth off, as 9.0 does without its licence.
    - `environments`: the variables that each start had; `folders`: where copies lay, gone with their pods.
    """

    cluster: KubernetesServer
    folder: Path
    schema: int = 331
    drops_custom_oauth: bool = False
    environments: list[dict[str, str]] = field(default_factory=list)
    settings: list[dict[str, Any]] = field(default_factory=list)  # by id, as they were at each start

    @property
    def uri(self) -> str:
        """Of the MongoDB in the pod."""
        host, port = self.cluster.behaviour.listeners[MONGODB]
        return f"mongodb://{host}:{port}/?directConnection=true"

    @contextmanager
    def listen(self, where: tuple[str, int], port: int) -> Iterator[None]:
        """Forwards lead to the port meanwhile; those of the next pod may have taken it over by the end."""
        listeners, address = self.cluster.behaviour.listeners, ("127.0.0.1", port)
        listeners[where] = address
        try:
            yield
        finally:
            if listeners.get(where) == address:
                del listeners[where]


def run_in_pods(cluster: KubernetesServer, folder: Path) -> UpgradeStage:
    """Let the containers of rehearsals be these programs.

    Only in their namespace: the release's container has the same name and image, and no MongoDB in its pod.
    """
    stage = UpgradeStage(cluster, folder)
    folder.mkdir(parents=True, exist_ok=True)
    programs: dict[tuple[str, str, str], Callable[[dict[str, Any]], PodThread]] = {
        (_NAMESPACE, "mongo:", DATABASE): lambda _container: MongoProgram(stage),
        (_NAMESPACE, "mongo:", START_GATE): lambda _container: StartGateProgram(stage),
        (_NAMESPACE, "rocket.chat", CHAT): lambda container: ChatProgram(stage, container),
    }
    cluster.behaviour.programs.update(programs)
    return stage


class Ended(Exception):
    """The program ends with these last lines."""


class PodThread(ABC):
    """A program that runs in a thread of its own, and is told to stop."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._exit: tuple[int, str] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def find_exit(self) -> tuple[int, str] | None:
        """See `PodProgram.find_exit`."""
        return self._exit

    def stop(self) -> None:
        """See `PodProgram.stop`. Does not wait: the cluster's own steps would wait with it."""
        self.stopping.set()

    @abstractmethod
    def work(self) -> None:
        """What it does, until it ends or `stopping` is set. Raises Ended."""

    def _run(self) -> None:
        try:
            self.work()
        except Ended as ended:
            self._exit = (1, str(ended))
        # What it stands on went with the pod.
        except KeyError as error:
            self._exit = (1, f"no MongoDB: {error}")
        except pymongo.errors.PyMongoError as error:  # MongoDB went away under it
            self._exit = (1, f"MongoServerError: {error}")
        else:
            self._exit = (0, "")


class MongoProgram(PodThread):
    """A MongoDB of its own on an empty folder, which goes with the pod."""

    def __init__(self, stage: UpgradeStage) -> None:
        self._stage = stage
        super().__init__()

    def work(self) -> None:
        """See `PodThread.work`."""
        folder = Path(tempfile.mkdtemp(dir=self._stage.folder))
        try:
            with MongoServer(folder, ttl_monitor=False) as server, self._stage.listen(MONGODB, server.port):
                self.stopping.wait()
        finally:
            shutil.rmtree(folder, ignore_errors=True)


class StartGateProgram(PodThread):
    """Ends when the marker is there."""

    def __init__(self, stage: UpgradeStage) -> None:
        self._stage = stage
        super().__init__()

    def work(self) -> None:
        """See `PodThread.work`."""
        while not self.stopping.wait(_LOOK_SECONDS):
            if MONGODB not in self._stage.cluster.behaviour.listeners:
                continue
            with pymongo.MongoClient[dict[str, Any]](self._stage.uri) as client:
                if client[MARKER_DATABASE][MARKER_COLLECTION].count_documents({}):
                    return


class ChatProgram(PodThread):
    """A start of Rocket.Chat on the database that the container's environment names."""

    def __init__(self, stage: UpgradeStage, container: dict[str, Any]) -> None:
        self._stage = stage
        self._env = {one["name"]: one.get("value", "") for one in container.get("env") or ()}
        self._version = str(container["image"]).rpartition(":")[2]
        super().__init__()

    def work(self) -> None:
        """See `PodThread.work`."""
        self._stage.environments.append(self._env)
        with pymongo.MongoClient[dict[str, Any]](self._stage.uri) as client:
            database = client[urlsplit(self._env["MONGO_URL"]).path.strip("/")]
            self._stage.settings.append(
                {one["_id"]: one.get("value") for one in database["rocketchat_settings"].find()}
            )
            migrate(database, self._stage.schema, self.stopping)
            build_indexes(database)
            if self._stage.drops_custom_oauth:
                switch_off_custom_oauth(database)
            server = RestServer(load_state(database, self._version))
            with server, self._stage.listen(ROCKETCHAT, int(server.url.rpartition(":")[2])):
                self.stopping.wait()


def migrate(database: Any, schema: int, stopping: threading.Event) -> None:
    """Take the lock, migrate step by step, release it. Raises Ended if the lock is not to be had.

    RocketChat/Rocket.Chat: apps/meteor/server/lib/migrations.ts
    """
    migrations = database["migrations"]
    lines = []
    for attempt in range(1, _ATTEMPTS + 1):
        taken = migrations.find_one_and_update(
            {"_id": "control", "locked": {"$ne": True}}, {"$set": {"locked": True}}
        )
        if taken is not None:
            break
        lines.append(
            f"Not migrating, control is locked. Attempt {attempt}/{_ATTEMPTS}. Trying again in 10 seconds."
        )
        stopping.wait(_LOOK_SECONDS)
    else:
        raise Ended("\n".join([*lines, "ERROR! SERVER STOPPED", "Your database migration failed:"]))
    for version in range(int(taken.get("version") or 0) + 1, schema + 1):
        # Each writes a little: what a real one writes anew is what the disk has to hold meanwhile.
        database["rocketchat_statistics"].insert_one({"migration": version, "text": "x" * 100_000})
        migrations.update_one({"_id": "control"}, {"$set": {"version": version}})
    migrations.update_one({"_id": "control"}, {"$set": {"locked": False}})


def build_indexes(database: Any) -> None:
    """The unique one of the history of scheduled jobs, which a duplicate keeps from being built.

    RocketChat/Rocket.Chat issue 29013. Raises Ended.
    """
    try:
        database["rocketchat_cron_history"].create_index([("intendedAt", 1), ("name", 1)], unique=True)
    except pymongo.errors.OperationFailure as error:
        raise Ended(f"MongoServerError: {error}\n    at Connection.onMessage") from error


def switch_off_custom_oauth(database: Any) -> None:
    """What 9.0 does without the licence's module."""
    custom = {"_id": {"$regex": "^Accounts_OAuth_Custom-[A-Za-z0-9_]+$"}}
    database["rocketchat_settings"].update_many(custom, {"$set": {"value": False}})


def load_state(database: Any, version: str) -> ChatServerState:
    """The server's state by the database: users with their login tokens, and integrations."""
    state = ChatServerState()
    state.version = version
    for one in database["users"].find({"services.resume.loginTokens": {"$exists": True}}):
        tokens = one["services"]["resume"]["loginTokens"]
        user = ChatUser(
            str(one["_id"]), str(one.get("username")), list(one.get("roles") or ()), tokens=tokens
        )
        state.add_user(user)
    for one in database["rocketchat_integrations"].find():
        plain = {name: one[name] for name in _INTEGRATION_FIELDS if name in one}
        state.integrations.append(plain)
    return state
