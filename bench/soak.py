"""The webhook's endpoint under mixed load for minutes: `MINUTES=10 python -m bench --only soak`.

Through the real host, the endpoint, Azurite's queue and the worker that takes messages from it. There is no
cluster to deploy to, so each accepted merge is put on record as one that waits for its settings: that record
is what shows that it was neither lost nor taken twice. Of ten requests on the average four are
valid, two are repeated deliveries, two are forged in one way or another, one is slow and one is too large or
cut off. The emulator of storage is asked directly as well, once a second, so that the figures tell a request
that we kept waiting from one that waited for the emulator.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import random
import secrets
import tempfile
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from bench.intake import REPOSITORY, served
from local.azurite import Azurite
from local.github import GitHubServer, webhooks
from local.host.process import HostProcess
from shared.adapters.blobs import create_container, open_blobs
from shared.adapters.queues import open_queues
from shared.settings.environment import parse_storage_account

PER_SECOND = 5.0
_KINDS = {"valid": 40, "repeated": 20, "forged": 20, "slow": 10, "too large": 5, "cut off": 5}  # per cent
_SLOW_SECONDS = 5.0  # that the body of a slow one takes
_TOO_LARGE_BYTES = 5 << 20  # Terraform's limit is 4 MiB
_ANSWER_SECONDS = 60.0
_DRAIN_SECONDS = 600.0
_LISTENING = {"AzureWebJobs.deploy_run.Disabled": "0", "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": str(4 << 20)}


@dataclass
class _Tally:
    """What was sent, how it was answered, and after how long."""

    sent: Counter[str] = field(default_factory=Counter)
    answers: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    seconds: list[float] = field(default_factory=list)  # of valid ones
    accepted: set[str] = field(default_factory=set)  # commits
    unanswered: set[str] = field(default_factory=set)  # commits of good ones that got no 202
    rss: list[float] = field(default_factory=list)  # MB, once a minute


class _EmulatorProbe:
    """Asks the emulator once a second, from a thread, for as long as the block lasts.

    What it answers does not matter: all its services are one process, and in turn with the other requests.
    """

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).netloc
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask_repeatedly, daemon=True)
        self.slowest_seconds = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _ask_repeatedly(self) -> None:
        while not self._ended.wait(1.0):
            began = time.perf_counter()
            connection = http.client.HTTPConnection(self._host, timeout=_DRAIN_SECONDS)
            with contextlib.closing(connection), contextlib.suppress(OSError):
                connection.request("GET", "/")
                connection.getresponse().read()
            # One that got no answer counts with the time that it waited.
            self.slowest_seconds = max(self.slowest_seconds, time.perf_counter() - began)


class _Sender:
    """Makes deliveries of each kind, and sends one."""

    def __init__(self, port: int, secret: str, tally: _Tally) -> None:
        self._port, self._secret, self._tally = port, secret, tally
        server = GitHubServer()
        repository = server.repository(REPOSITORY)
        repository.commit({"values.yaml": b"host: chat.example.org\n"})
        repository.branch("change")
        pull = repository.open_pull("change")
        repository.merge(pull)
        self._payload = webhooks.pull_request(repository, pull, "https://github.example")
        self._earlier: list[tuple[str, bytes, dict[str, str]]] = []

    def _sign(self, secret: str) -> tuple[str, bytes, dict[str, str]]:
        sha = secrets.token_hex(20)
        self._payload["pull_request"]["merge_commit_sha"] = sha
        body = webhooks.encode_payload(self._payload)
        return sha, body, webhooks.delivery_headers("pull_request", body, secret)

    async def send(self, kind: str) -> None:
        """Send one of that kind, and note the answer."""
        self._tally.sent[kind] += 1
        began = time.perf_counter()
        sha, status = await getattr(self, f"_send_{kind.replace(' ', '_')}")()
        self._tally.answers[kind][status] += 1
        if kind == "valid":
            self._tally.seconds.append(time.perf_counter() - began)
        if status == "202" and kind != "forged":
            self._tally.accepted.add(sha)
        elif kind in ("valid", "repeated", "slow"):
            self._tally.unanswered.add(sha)  # may be on record all the same: GitHub would send it again

    async def _send_valid(self) -> tuple[str, str]:
        sha, body, headers = self._sign(self._secret)
        status = await self._post(headers, [body])
        if status == "202":
            self._earlier.append((sha, body, headers))
        return sha, status

    async def _send_repeated(self) -> tuple[str, str]:
        """As GitHub redelivers, now and then under an id of its own, as for a person who asks for it."""
        if not self._earlier:
            return await self._send_valid()
        sha, body, headers = random.choice(self._earlier)
        if random.random() < 0.5:
            headers = webhooks.delivery_headers("pull_request", body, self._secret)
        return sha, await self._post(headers, [body])

    async def _send_forged(self) -> tuple[str, str]:
        """Another's secret, none, another body under a good signature, or half of one."""
        sha, body, headers = self._sign(random.choice([secrets.token_urlsafe(32), "", self._secret]))
        if (signature := headers.get("X-Hub-Signature-256", "")) and random.random() < 0.3:
            headers["X-Hub-Signature-256"] = signature[:40]
        else:
            body = body.replace(sha.encode(), secrets.token_hex(20).encode())
        return sha, await self._post(headers, [body])

    async def _send_slow(self) -> tuple[str, str]:
        """A good one over a line that gives a tenth of it every half a second."""
        sha, body, headers = self._sign(self._secret)
        step = len(body) // 10 + 1
        pieces = [body[at : at + step] for at in range(0, len(body), step)]
        return sha, await self._post(headers, pieces, pause=_SLOW_SECONDS / len(pieces))

    async def _send_too_large(self) -> tuple[str, str]:
        sha, _, headers = self._sign(self._secret)
        return sha, await self._post(headers, [b"x" * (64 << 10)] * (_TOO_LARGE_BYTES >> 16))

    async def _send_cut_off(self) -> tuple[str, str]:
        """The sender goes away in the middle of a good one."""
        sha, body, headers = self._sign(self._secret)
        return sha, await self._post(headers, [body[: len(body) // 2]], length=len(body))

    async def _post(
        self, headers: dict[str, str], pieces: list[bytes], *, pause: float = 0.0, length: int = 0
    ) -> str:
        """The status of the answer; `closed` where the connection was ended without one."""
        whole = length or sum(map(len, pieces))
        lines = ["POST /api/github/webhook HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {whole}"]
        head = "\r\n".join([*lines, *(f"{k}: {v}" for k, v in headers.items()), "", ""]).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            with contextlib.suppress(ConnectionError):  # it may answer before it has read all
                writer.write(head)
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    if pause:
                        await asyncio.sleep(pause)
            if length:
                return "closed"
            answer = await asyncio.wait_for(reader.readline(), _ANSWER_SECONDS)
            return answer[9:12].decode() or "closed"
        except TimeoutError:
            return "no answer"
        except ConnectionError:
            return "closed"
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


def run() -> dict[str, dict[str, Any]]:
    """`{"soak": {...}}`. Raises SystemExit if something was lost, taken twice, or accepted and not good."""
    minutes, secret = float(os.environ.get("MINUTES", "10")), secrets.token_urlsafe(32)
    # In files: what it keeps in memory it sweeps every ten minutes, one extent at a time, and each removal
    # goes over all that are left, without a turn for requests. An extent in memory is one write, in files
    # 64 MiB of them. `BlobGCManager` and `MemoryExtentStore` of Azurite; Azure itself has nothing like it.
    with (
        tempfile.TemporaryDirectory() as directory,
        Azurite(Path(directory) / "azurite", persistent=True) as azurite,
    ):
        storage = azurite.connection_string
        create_container(parse_storage_account(storage), "groundcrew")
        settings = {**_LISTENING, "AzureWebJobsStorage": storage}
        with served(Path(directory), secret, settings) as host:
            with _EmulatorProbe(azurite.blob_url) as probe:
                tally = asyncio.run(_load(host, secret, minutes))
            figures = _settle(storage, tally)
    took = sorted(tally.seconds)
    return {
        "soak": {
            "minutes": minutes,
            "per_second": PER_SECOND,
            "sent": dict(tally.sent),
            "answers": {kind: dict(answers) for kind, answers in tally.answers.items()},
            "valid_p50_milliseconds": took[len(took) // 2] * 1000,
            "valid_p99_milliseconds": took[int(len(took) * 0.99)] * 1000,
            "rss_megabytes": tally.rss,
            "emulator_slowest_milliseconds": probe.slowest_seconds * 1000,
            **figures,
        }
    }


async def _load(host: HostProcess, secret: str, minutes: float) -> _Tally:
    tally = _Tally()
    sender = _Sender(int(host.url.rpartition(":")[2]), secret, tally)
    for _ in range(20):  # what the first calls load is not what is looked for
        await sender.send("valid")
    tally.seconds.clear()
    kinds, weights = [*_KINDS], [*_KINDS.values()]
    began, tasks = time.perf_counter(), set[asyncio.Task[None]]()
    for number in range(int(minutes * 60 * PER_SECOND)):
        due = began + number / PER_SECOND
        if due >= began + 60 * len(tally.rss):
            tally.rss.append(_rss_megabytes(host.pid))
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.create_task(sender.send(random.choices(kinds, weights)[0]))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    tally.rss.append(_rss_megabytes(host.pid))
    return tally


def _settle(storage: str, tally: _Tally) -> dict[str, Any]:
    """What the worker made of it, once the queue is empty."""
    account = parse_storage_account(storage)
    queues, state = open_queues(account), open_blobs(account, "groundcrew")
    deadline = time.monotonic() + _DRAIN_SECONDS
    while queues.length("deploys"):
        if time.monotonic() > deadline:
            raise SystemExit("soak: the worker did not empty the queue")
        time.sleep(0.5)
    # Named by their release and commit; one more for each time that it was taken for another deploy.
    recorded = Counter(blob.name.rpartition("/")[2].split("-")[1][:40] for blob in state.list("runs/deploy/"))
    wrong = [kind for kind in ("forged", "too large", "cut off") if tally.answers[kind]["202"]]
    figures = {
        "accepted": len(tally.accepted),
        "recorded": len(recorded),
        "lost": len(tally.accepted - recorded.keys()),
        "twice": sum(count > 1 for count in recorded.values()),
        "not_ours": len(recorded.keys() - tally.accepted - tally.unanswered),
        "poisoned": queues.length("deploys-poison"),
    }
    if wrong or any(figures[name] for name in ("lost", "twice", "not_ours", "poisoned")):
        raise SystemExit(f"soak: {figures}, accepted of what must not be: {wrong}")
    return figures


def _rss_megabytes(pid: int) -> float:
    """Of the host, in which the worker runs."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024 / 1e6
