"""The app in a process of its own under Microsoft's worker library, with the log lines that a host gets.

`run_worker` starts it; as a program it indexes the app, makes the calls of standard input in their order,
and prints what came of them. Nothing of the embedded host takes part but its glue to the library.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.forks import Forks

ROOT = Path(__file__).resolve().parent.parent
_TIMER = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": {}, "IsPastDue": False}


@dataclass(frozen=True)
class Invocation:
    """What came of one call. `lines` are pairs of logger and line."""

    ok: bool
    error: str
    status: int
    body: str
    headers: Mapping[str, str]
    lines: Sequence[tuple[str, str]]
    seconds: float
    cpu_seconds: float
    rss_megabytes: float

    def logged(self, logger: str) -> list[str]:
        """The lines of that logger and those below it."""
        return [line for name, line in self.lines if name == logger or name.startswith(f"{logger}.")]


@dataclass(frozen=True)
class FunctionCall:
    """A call of a function: `kind` is http, timer, queue or event."""

    function: str
    kind: str
    method: str = "GET"
    path: str = "/"
    body: str = ""  # of a request or a message; the event as JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)


def run_worker(
    environment: Mapping[str, str],
    calls: Sequence[FunctionCall],
    *,
    app: Path = ROOT,
    python: str = sys.executable,
    prefix: Sequence[str] = (),
    forks: Forks | None = None,
) -> list[Invocation]:
    """Make the calls in a fresh process that knows only these settings; `prefix` is what starts it.

    With `forks` it has imported already what it would import, and `app`, `python` and `prefix` go unused.
    """
    # `make coverage` measures in every process whose environment asks for it.
    measuring = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    known = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **measuring, **environment}
    text = json.dumps([vars(call) for call in calls], default=dict)
    module = "local.worker_calls"
    if forks is not None:
        done = forks.run(module, [str(ROOT)], environment=known, folder=ROOT, timeout=100, text=text)
    else:
        done = subprocess.run(
            [*prefix, python, "-m", module, str(app)],
            input=text, cwd=ROOT, env=known, capture_output=True, text=True, timeout=100,
        )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the worker failed:\n{done.stderr[-3000:]}")
    return [Invocation(**answer) for answer in json.loads(done.stdout.splitlines()[-1])]


class _GrpcHandler(logging.Handler):
    """As the worker's own: it has no formatter, and sends the host what `format` returns."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.name, self.format(record)))


async def _run(app: Path, calls: Sequence[FunctionCall]) -> list[dict[str, Any]]:
    from local.host.worker import call_function, index_app

    handler = _GrpcHandler()
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)
    functions = {function.name: function for function in await index_app(app)}
    answers = []
    for number, call in enumerate(calls):
        handler.lines.clear()
        trigger, metadata = _trigger_data(call)
        wall, cpu = time.perf_counter(), time.process_time()
        result = await call_function(str(number), functions[call.function], trigger, metadata, "")
        seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
        http = getattr(result.returned, "value", None) if call.kind == "http" else None
        answers.append(
            {
                "ok": result.ok,
                "error": result.error,
                "status": int(http["status_code"].value) if http else 0,
                "body": _text_of(http["body"].value) if http else "",
                "headers": {name: datum.value for name, datum in http["headers"].items()} if http else {},
                "lines": list(handler.lines),
                "seconds": seconds,
                "cpu_seconds": cpu_seconds,
                "rss_megabytes": _peak_megabytes(),
            }
        )
    return answers


def _trigger_data(call: FunctionCall) -> tuple[Any, dict[str, Any]]:
    from azure.functions.meta import Datum

    from local.host.queue_messages import manual_message

    if call.kind == "queue":
        return manual_message(call.body)
    if call.kind != "http":
        return Datum(call.body or json.dumps(_TIMER), "json"), {}
    texts = [
        {name.lower(): Datum(value, "string") for name, value in values.items()}
        for values in (call.headers, call.params)
    ]
    request = {
        "method": Datum(call.method, "string"),
        "url": Datum(f"https://app.example.org{call.path}", "string"),
        "headers": texts[0],
        "params": texts[1],
        "query": {},
        "body": Datum(call.body.encode(), "bytes"),
    }
    return Datum(request, "http"), {}


def _peak_megabytes() -> float:
    # Not getrusage, whose peak is that of the parent if it was higher, and survives an exec.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


def _text_of(body: object) -> str:
    return body.decode() if isinstance(body, bytes) else str(body or "")


def main() -> None:
    """Make the calls of standard input with the app of the first argument."""
    calls = [FunctionCall(**call) for call in json.load(sys.stdin)]
    print(json.dumps(asyncio.run(_run(Path(sys.argv[1]).resolve(), calls)), default=str))


if __name__ == "__main__":
    main()
