"""The host as a whole: puts the triggers of one app together, starts them, and stops them in order."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Coroutine, MutableMapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web
from azure.functions.meta import Datum

from local.host.admin import Admin
from local.host.clock import SystemTimerClock
from local.host.config import AppSettings, HostOptions, add_local_settings, read_host_json
from local.host.eventgrid import EventGridWebhook
from local.host.front import FrontDoor
from local.host.functions import Function, check_served
from local.host.http import HttpTriggers, build_routes
from local.host.invoker import Invoker, Running
from local.host.keys import load_keys
from local.host.outputs import QueueOutputs, binding_queue
from local.host.queue_client import QueueAccount
from local.host.queues import QueueListener
from local.host.timer_store import BlobTimerStore
from local.host.timers import TimerListener, timer_options
from local.host.worker import index_app
from shared.kernel.errors import UsageError

log = logging.getLogger("host")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HostArguments:
    """How to run an app; `grace` is how long a stop waits for what is running."""

    app_dir: Path
    state_dir: Path
    port: int = 7071
    storage_setting: str = "AzureWebJobsStorage"
    grace: timedelta = timedelta(seconds=10)
    invisibility: timedelta = timedelta(minutes=10)
    max_body_bytes: int = 100 * 1024 * 1024  # the platform's limit
    longest_poll: timedelta = timedelta(minutes=1)  # at most, whatever host.json allows

    @property
    def keys_file(self) -> Path:
        """Where the access keys are kept."""
        return self.state_dir / "keys.json"


class Host:
    """One app, served from `start` to `stop` in the running event loop. One per process."""

    def __init__(self, arguments: HostArguments, environ: MutableMapping[str, str], running: Running) -> None:
        self._arguments, self._environ, self._running = arguments, environ, running
        self._settings = AppSettings(environ)
        self._stop = asyncio.Event()
        self._accounts: dict[str, QueueAccount] = {}
        self._store: BlobTimerStore | None = None
        self._queues: list[QueueListener] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._runner: web.AppRunner | None = None
        self.crashed = asyncio.Event()
        self.functions: list[Function] = []
        self.url = ""

    async def start(self) -> None:
        """Index the app and start all of its triggers. Raises `UsageError` before anything is served."""
        app_dir = self._arguments.app_dir.resolve()
        options = read_host_json(app_dir).poll_at_least_every(self._arguments.longest_poll)
        add_local_settings(app_dir, self._environ)
        if "WEBSITE_TIME_ZONE" in self._environ:
            log.warning("time_zone_ignored", extra={"hint": "Timers run in UTC, as on Flex Consumption."})
        # Before the app is imported, which may ask where it is reached, as core tools do it.
        # Taken now and served later: between, another process cannot get it.
        taken = _reserve_port(self._arguments.port)
        self._environ["WEBSITE_HOSTNAME"] = f"127.0.0.1:{taken.getsockname()[1]}"
        self.functions = await index_app(app_dir)
        check_served(self.functions)
        outputs = QueueOutputs(self.functions, self._settings, self._connect_account, options.queues)
        invoker = Invoker(self._running, outputs.write)
        # A disabled function is indexed and listed; only its trigger is off.
        live = [function for function in self.functions if not self._settings.disabled(function.name)]
        host_id = self._settings.host_id(app_dir)
        web_app = self._web_app(live, invoker, options, host_id)
        timers = self._start_timers(live, invoker, options, host_id)
        self._queues = [
            self._queue_listener(function, invoker, options)
            for function in live
            if function.trigger.type == "queueTrigger"
        ]
        await self._listen(web_app, taken)
        self._tasks = [self._start_task(timer.run(self._stop)) for timer in timers]
        self._tasks += [self._start_task(queue.run(self._stop)) for queue in self._queues]
        log.info("host_started", extra={"url": self.url, "functions": len(live)})

    async def stop(self) -> bool:
        """Take no more work and wait for what runs, at most `grace`. Returns whether all of it ended."""
        self._stop.set()
        grace = self._arguments.grace.total_seconds()
        ending = [*self._tasks, asyncio.create_task(self._running.wait_for_none())]
        if self._runner is not None:
            ending.append(asyncio.create_task(self._runner.cleanup()))
        await asyncio.wait(ending, timeout=grace)
        running = self._running.names()
        if running:
            log.warning("invocations_abandoned", extra={"functions": running})
        # What does not end in time is another host's to do, at once and not in ten minutes.
        await asyncio.gather(*(listener.abandon() for listener in self._queues))
        for account in self._accounts.values():
            await account.close()
        if self._store is not None:
            await self._store.close()
        return not running

    def _web_app(
        self, live: list[Function], invoker: Invoker, options: HostOptions, host_id: str
    ) -> web.Application:
        keys = load_keys(self._arguments.keys_file, [function.name for function in self.functions])
        cap = self._settings.max_body_bytes(self._arguments.max_body_bytes)
        triggers = HttpTriggers(build_routes(live, options.route_prefix), keys, invoker, cap)
        admin = Admin(host_id, self.functions, keys, invoker, self._settings.disabled)
        return FrontDoor(admin, EventGridWebhook(live, keys, invoker), triggers).application(cap)

    def _start_timers(
        self, live: list[Function], invoker: Invoker, options: HostOptions, host_id: str
    ) -> list[TimerListener]:
        functions = [function for function in live if function.trigger.type == "timerTrigger"]
        if not functions:
            return []
        clock = SystemTimerClock()
        connection = self._settings.connection(self._arguments.storage_setting)
        make_store = partial(BlobTimerStore, host_id=host_id, lease=options.lock_period)
        store = self._store = _connect_storage(make_store, connection)
        return [
            TimerListener(
                timer_options(function, self._settings, clock.now()),
                store,
                clock,
                partial(_run_timer, invoker, function),
                options.lock_poll,
            )
            for function in functions
        ]

    def _queue_listener(self, function: Function, invoker: Invoker, options: HostOptions) -> QueueListener:
        queue = binding_queue(function.trigger, function, self._settings, self._connect_account)
        run = partial(_run_queue, invoker, function)
        return QueueListener(queue, options.queues, run, invisibility=self._arguments.invisibility)

    def _connect_account(self, connection_string: str) -> QueueAccount:
        # One client for each account: a host serves several queues of one.
        if connection_string not in self._accounts:
            self._accounts[connection_string] = _connect_storage(QueueAccount, connection_string)
        return self._accounts[connection_string]

    def _start_task(self, listener: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(listener)
        task.add_done_callback(self._on_task_ended)
        return task

    def _on_task_ended(self, task: asyncio.Task[None]) -> None:
        # A timer or queue that nobody serves any more must not look like a healthy host.
        if not task.cancelled() and task.exception() is not None:
            log.critical("listener_crashed", exc_info=task.exception())
            self.crashed.set()

    async def _listen(self, app: web.Application, taken: socket.socket) -> None:
        grace = self._arguments.grace.total_seconds()
        # A function gets the body as it was sent: a webhook's signature covers the compressed bytes.
        runner = self._runner = web.AppRunner(
            app,
            access_log=None,
            # Requests that run get the same time as everything else.
            shutdown_timeout=grace,
            auto_decompress=False,
            # Longer than aiohttp's defaults: cookies of a sign-in and long queries are not to fail here only.
            max_line_size=16 * 1024,
            max_field_size=32 * 1024,
        )
        await runner.setup()
        await web.SockSite(runner, taken).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"


def _reserve_port(port: int) -> socket.socket:
    """A listening socket; who connects before the app is served waits. Raises UsageError."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        hint = "Stop what listens there, or choose another port with --port (0 for any)."
        raise UsageError("The port is taken", value=port, hint=hint) from error


async def _run_timer(invoker: Invoker, function: Function, trigger: Datum) -> None:
    await invoker.invoke(function, trigger, reason="timer")


async def _run_queue(
    invoker: Invoker, function: Function, trigger: Datum, metadata: dict[str, Datum]
) -> bool:
    return (await invoker.invoke(function, trigger, metadata, reason="queue")).ok


def _connect_storage(make: Callable[[str], T], connection_string: str) -> T:
    try:
        return make(connection_string)
    except ValueError as error:  # its text may hold the key
        raise UsageError("The storage connection string cannot be read") from error
