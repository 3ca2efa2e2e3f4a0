"""The webhook's endpoint through the real host process.

Every request is a merge event of its own, signed, that the endpoint accepts and puts on Azurite's queue: its
dearest case. Latency is measured at a steady 200 requests a second, whether or not answers are late; the
rate with as many connections as the host serves at a time, none of which pauses.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.data import ROOT
from local.azurite import Azurite
from local.github import GitHubServer, webhooks
from local.host.process import HostProcess

REPOSITORY = "acme/chat"
PER_SECOND = 200
SECONDS = 10
ROUNDS = 3
_ROUND_SECONDS = 2.0
_CONNECTIONS = 100
_WARM_UP = 200

# The deployed blueprint; the queue's own function is off, as it has its own instances on the platform.
_APP = """
import sys
sys.path.insert(0, {root!r})
import azure.functions as func
from functions.deploy import bp

app = func.FunctionApp()
app.register_functions(bp)
"""


@contextlib.contextmanager
def served(directory: Path, secret: str, settings: Mapping[str, str] | None = None) -> Iterator[HostProcess]:
    """A host with the endpoint, with those settings besides; they may name a storage that runs already."""
    app = directory / "app"
    app.mkdir()
    (app / "function_app.py").write_text(_APP.format(root=str(ROOT)))
    (app / "host.json").write_text((ROOT / "host.json").read_text())
    policy = directory / "policy.yaml"
    policy.write_text(
        (ROOT / "policy.yaml").read_text().replace("deploy:\n", f"deploy:\n  repository: {REPOSITORY}\n")
    )
    with contextlib.ExitStack() as stack:
        if "AzureWebJobsStorage" in (given := dict(settings or {})):
            storage = given["AzureWebJobsStorage"]
        else:
            storage = stack.enter_context(Azurite(directory / "azurite")).connection_string
        environment = {
            "AzureWebJobsStorage": storage,
            "GROUNDCREW_POLICY": str(policy),
            "GROUNDCREW_GITHUB_WEBHOOK_SECRETS": secret,
            "AzureWebJobs.deploy_run.Disabled": "1",
            "AzureWebJobs.certificate_scan.Disabled": "1",
            "AzureWebJobs.restore_drill.Disabled": "1",
            "AzureWebJobs.secrets_rotation.Disabled": "1",
            "AzureWebJobs.oplog_capture.Disabled": "1",
            "AzureWebJobs.hardening_audit.Disabled": "1",
            "AzureWebJobs.lockout_calendar.Disabled": "1",
            "AzureWebJobs.drift_check.Disabled": "1",
            **given,
        }
        with HostProcess(app, environment, directory / "host") as host:
            yield host


def requests_for(secret: str, count: int) -> list[bytes]:
    """So many signed merge events with ids and commits of their own, as they go over the wire."""
    server = GitHubServer()
    repository = server.repository(REPOSITORY)
    repository.commit({"values.yaml": b"host: chat.example.org\n"})
    repository.branch("change")
    pull = repository.open_pull("change")
    repository.merge(pull)
    payload = webhooks.pull_request(repository, pull, "https://github.example")
    made = []
    for _ in range(count):
        payload["pull_request"]["merge_commit_sha"] = secrets.token_hex(20)
        body = webhooks.encode_payload(payload)
        made.append(
            _wire("/api/github/webhook", webhooks.delivery_headers("pull_request", body, secret), body)
        )
    return made


def _wire(path: str, headers: dict[str, str], body: bytes) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *(f"{k}: {v}" for k, v in headers.items()), "", ""]).encode() + body


class Connection:
    """One kept-alive connection that knows no more of HTTP than it must, so that little of the machine is
    the client's."""

    def __init__(self, port: int, *, accepted: bytes = b"HTTP/1.1 202") -> None:
        self._port, self._accepted = port, accepted

    async def __aenter__(self) -> Connection:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def post(self, request: bytes) -> None:
        """Send and wait for the answer, which must be the one that accepts."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        )
        told = await self._reader.readexactly(length)
        if not head.startswith(self._accepted):
            raise SystemExit(f"the endpoint did not accept: {head[:12]!r} {told!r}")


async def _steady(port: int, requests: Sequence[bytes]) -> list[float]:
    """The seconds each took, from the moment it was due: a late answer makes the next ones late too."""
    took: list[float] = []
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def send() -> None:
        async with Connection(port) as connection:
            while True:
                due, request = await waiting.get()
                await connection.post(request)
                took.append(time.perf_counter() - due)
                waiting.task_done()

    senders = [asyncio.create_task(send()) for _ in range(_CONNECTIONS)]
    began = time.perf_counter()
    for number, request in enumerate(requests):
        due = began + number / PER_SECOND
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        waiting.put_nowait((due, request))
    await waiting.join()
    for sender in senders:
        sender.cancel()
    await asyncio.gather(*senders, return_exceptions=True)
    return took


async def _rate(port: int, requests: Iterator[bytes]) -> float:
    """Requests a second, with all connections busy."""
    done, end = 0, time.perf_counter() + _ROUND_SECONDS

    async def send() -> None:
        nonlocal done
        async with Connection(port) as connection:
            while time.perf_counter() < end:
                await connection.post(next(requests))
                done += 1

    began = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(_CONNECTIONS)))
    return done / (time.perf_counter() - began)


async def _measure(port: int, requests: Iterator[bytes]) -> dict[str, float]:
    async with Connection(port) as connection:
        for _ in range(_WARM_UP):
            await connection.post(next(requests))
    took = sorted(await _steady(port, [next(requests) for _ in range(PER_SECOND * SECONDS)]))
    rates = [await _rate(port, requests) for _ in range(ROUNDS)]
    return {
        "p50_milliseconds": took[len(took) // 2] * 1000,
        "p99_milliseconds": took[int(len(took) * 0.99)] * 1000,
        "slowest_milliseconds": took[-1] * 1000,
        "per_second": statistics.median(rates),
    }


def run() -> dict[str, dict[str, float]]:
    """`{"intake": {...}}`; the client is a process of its own."""
    secret = secrets.token_urlsafe(32)
    with tempfile.TemporaryDirectory() as directory, served(Path(directory), secret) as host:
        done = subprocess.run(
            [sys.executable, "-m", "bench.intake", host.url.rpartition(":")[2]],
            input=secret, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300,
        )  # fmt: skip
    return {"intake": json.loads(done.stdout.splitlines()[-1])}


def main() -> None:
    """The client: the port is the argument, the secret comes by standard input."""
    secret, port = sys.stdin.read().strip(), int(sys.argv[1])
    count = _WARM_UP + PER_SECOND * SECONDS + int(ROUNDS * _ROUND_SECONDS * 6000)
    made = requests_for(secret, count)
    print(json.dumps(asyncio.run(_measure(port, iter(made)))))


if __name__ == "__main__":
    main()
