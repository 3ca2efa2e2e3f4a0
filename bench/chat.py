"""Commands from chat through the real host process: Rocket.Chat's webhook at 50 requests a second, warm.

Every request is a message of its own from one of many senders, which the app puts on Azurite's queue: its
dearest case. The queue's function is off, as it has its own instances on the platform.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.data import ROOT
from bench.intake import Connection
from local.azurite import Azurite
from local.host.process import HostProcess

PER_SECOND, SECONDS, WARM_UP = 50, 20, 200
_CONNECTIONS = 20
_SENDERS = 500  # each below the limit of one sender
_POLICY = """
people: [{id: ana, rocketchat: [u0]}]
chat: {rules: [{who: [ana], rooms: ['rocketchat:GENERAL'], commands: [status]}]}
"""


@contextlib.contextmanager
def run_site(directory: Path, token: str) -> Iterator[str]:
    """A host with the app's own blueprint; gives its address."""
    app = directory / "app"
    app.mkdir()
    (app / "function_app.py").write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nimport azure.functions as func\n"
        "from functions.chatops import bp\napp = func.FunctionApp()\napp.register_functions(bp)\n"
    )
    (app / "host.json").write_text((ROOT / "host.json").read_text())
    policy = directory / "policy.yaml"
    policy.write_text(_POLICY)
    with Azurite(directory / "azurite") as azurite:
        environment = {
            "AzureWebJobsStorage": azurite.connection_string,
            "GROUNDCREW_POLICY": str(policy),
            "GROUNDCREW_CHAT": "http://127.0.0.1:1",  # the endpoint asks nothing of it
            "GROUNDCREW_SIGNING_KEY": secrets.token_hex(32),  # seals what is on the queue
            "GROUNDCREW_ROCKETCHAT_TOKENS": token,
            "GROUNDCREW_ROCKETCHAT_USER": "crew",
            "GROUNDCREW_ROCKETCHAT_USER_TOKEN": "unused",
            "AzureWebJobs.chat_command.Disabled": "1",
        }
        with HostProcess(app, environment, directory / "host") as host:
            yield host.url


def make_request(token: str, number: int) -> bytes:
    """A message that the endpoint accepts, as it goes over the wire."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    payload = {
        "token": token, "bot": False, "trigger_word": "!ops", "channel_id": "GENERAL",
        "channel_name": "general",
        "message_id": secrets.token_hex(8), "timestamp": now, "user_id": f"u{number % _SENDERS}",
        "user_name": "ana", "text": "!ops status", "siteUrl": "https://chat.example.org",
    }  # fmt: skip
    body = json.dumps(payload).encode()
    head = "POST /api/chatops HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def measure(port: int, token: str) -> dict[str, float]:
    """Milliseconds from the moment each was due: a late answer makes the next ones late too."""
    took: list[float] = []
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def send() -> None:
        async with Connection(port, accepted=b"HTTP/1.1 200") as connection:
            while True:
                due, request = await waiting.get()
                await connection.post(request)
                took.append(time.perf_counter() - due)
                waiting.task_done()

    async with Connection(port, accepted=b"HTTP/1.1 200") as connection:
        for number in range(WARM_UP):
            await connection.post(make_request(token, number))
    senders = [asyncio.create_task(send()) for _ in range(_CONNECTIONS)]
    await _offer(waiting, token)
    for sender in senders:
        sender.cancel()
    await asyncio.gather(*senders, return_exceptions=True)
    return _summarize(sorted(took))


async def _offer(waiting: asyncio.Queue[tuple[float, bytes]], token: str) -> None:
    began = time.perf_counter()
    for number in range(PER_SECOND * SECONDS):
        due = began + number / PER_SECOND
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        waiting.put_nowait((due, make_request(token, number)))
    await waiting.join()


def _summarize(took: Sequence[float]) -> dict[str, float]:
    return {
        "p50_milliseconds": took[len(took) // 2] * 1000,
        "p99_milliseconds": took[int(len(took) * 0.99)] * 1000,
        "slowest_milliseconds": took[-1] * 1000,
    }


def run() -> dict[str, dict[str, float]]:
    """`{"chat": {...}}`; the client is a process of its own."""
    token = secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory() as directory, run_site(Path(directory), token) as url:
        done = subprocess.run(
            [sys.executable, "-m", "bench.chat", url.rpartition(":")[2]],
            input=token, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300,
        )  # fmt: skip
    return {"chat": json.loads(done.stdout.splitlines()[-1])}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(int(sys.argv[1]), sys.stdin.read().strip()))))
