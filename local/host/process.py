"""A host as a child process, for tests and for `make up`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from local.host.keys import EVENT_GRID_SYSTEM_KEY, Keys, read_keys
from local.process import Child

_ROOT = Path(__file__).resolve().parent.parent.parent


class HostProcess:
    """A context manager around `python -m local.host`; `env` is added to this process's environment.

    Raises `Unavailable`, with the end of its log, if the host does not come up. The log is `host.log` in
    `state_dir`, where the access keys lie too. Idle queues are looked into every `longest_poll` seconds: on
    the platform a scale controller sees a message at once.
    """

    def __init__(
        self,
        app_dir: Path,
        env: Mapping[str, str],
        state_dir: Path,
        *,
        port: int = 0,
        log_format: str = "text",
        message_invisibility: int = 600,
        longest_poll: float = 2,
        options: Sequence[str] = (),
    ) -> None:
        self.state_dir = state_dir
        self._facts: dict[str, Any] = {}
        arguments = {
            "--app": app_dir,
            "--state": state_dir,
            "--port": port,
            "--log-format": log_format,
            "--message-invisibility": message_invisibility,
            "--longest-poll": longest_poll,
        }
        self.child = Child(
            "the functions host",
            [
                sys.executable,
                "-m",
                "local.host",
                *(str(x) for pair in arguments.items() for x in pair),
                *options,
            ],
            log=state_dir / "host.log",
            env={**os.environ, **env},
            cwd=_ROOT,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it serves, a second or two and what the app's import takes."""
        self.child.start()
        # Long, as a busy CI machine may take half a minute for the app's import.
        self._facts = self.child.wait_for_line(_parse_announcement, seconds=60)

    def stop(self, *, seconds: float = 20) -> int:
        """End it in order. Returns its exit code."""
        return self.child.stop(seconds=seconds)

    def kill(self) -> int:
        """End it like a crash (SIGKILL). Returns its exit code."""
        # Not SIGTERM: this is what a platform that takes an instance away looks like.
        return self.child.kill()

    @property
    def url(self) -> str:
        """Where it serves, without a slash at the end."""
        return str(self._facts["url"])

    @property
    def functions(self) -> list[str]:
        """The names of the app's functions."""
        return list(self._facts["functions"])

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.child.pid

    @property
    def keys(self) -> Keys:
        """All access keys."""
        return read_keys(Path(self._facts["keys_file"]))

    @property
    def master_key(self) -> str:
        """The key that opens everything."""
        return self.keys.master

    def function_key(self, name: str) -> str:
        """The key of one function."""
        return self.keys.functions[name]

    def event_grid_url(self, function: str) -> str:
        """Where Event Grid would deliver to the function, with the key in it."""
        key = self.keys.system[EVENT_GRID_SYSTEM_KEY]
        return f"{self.url}/runtime/webhooks/eventgrid?functionName={function}&code={key}"

    def log_tail(self) -> str:
        """The end of its log."""
        return self.child.tail()


def _parse_announcement(line: str) -> dict[str, Any] | None:
    """The host's line, and not a JSON object that the app printed while it was imported."""
    try:
        facts = json.loads(line)
    except ValueError:
        return None
    return facts if isinstance(facts, dict) and {"url", "functions", "keys_file"} <= facts.keys() else None
