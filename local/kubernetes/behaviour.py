"""How the simulated node treats images and commands: what fails, and how long things take."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from local.kubernetes.errors import Object

_SUBSTITUTION = re.compile(r"\$\([^()]*\)")  # what a server's arguments are made of does not end it
_EXIT = re.compile(r"\bexit\s+(\d+)")
_SLEEP = re.compile(r"\bsleep\s+(\d+(?:\.\d+)?|infinity)")
_ECHO = re.compile(r"\becho\s+(?:\"([^\"]*)\"|'([^']*)'|([^;&|]*))")


class PodProgram(Protocol):
    """A program of ours that runs in the place of a container's."""

    def find_exit(self) -> tuple[int, str] | None:
        """Its exit code and the last lines that it wrote; None while it runs."""
        ...

    def stop(self) -> None:
        """End it. May be called twice."""
        ...


@dataclass(slots=True)
class Behaviour:
    """Durations are simulated seconds; `second` is how many real seconds one of them takes.

    Images are matched by a part of their name. A test may change any of it while the server runs.
    """

    second: float = 0.02
    pull_seconds: float = 1.0
    ready_seconds: float = 1.0
    """From the start of the containers to readiness, besides a probe's `initialDelaySeconds`."""
    stop_seconds: float = 1.0
    never_pulled: set[str] = field(default_factory=lambda: {"never-pulls"})
    crashing: set[str] = field(default_factory=lambda: {"crashes"})
    never_ready: set[str] = field(default_factory=lambda: {"never-ready"})
    ready_after: dict[str, float] = field(default_factory=lambda: {"slow": 25.0})
    """Images that take longer to become ready, in simulated seconds."""
    image_bytes: int = 400 << 20
    """What a node says of the size of each image that it pulled."""
    disk_free_bytes: float = float(80 << 30)
    """What node-exporter measures on a node, and Prometheus tells if it is there."""
    listeners: dict[tuple[str, int], tuple[str, int]] = field(default_factory=dict)
    """By a part of the image's name and a port of its pods: who answers there, as host and port of ours."""
    programs: dict[tuple[str, str, str], Callable[[Object], PodProgram]] = field(default_factory=dict)
    """By namespace, part of the image's name and container's name: what really runs, made of it."""
    paused: bool = False
    """Nodes and controllers do nothing at all, as if they were down."""

    def find_program(self, namespace: str, container: Object) -> Callable[[Object], PodProgram] | None:
        """What runs in the container; None if that is simulated by what follows."""
        for (place, part, name), start in self.programs.items():
            if (namespace, container["name"]) == (place, name) and part in str(container.get("image", "")):
                return start
        return None

    def can_pull(self, image: str) -> bool:
        """Whether the image can be had."""
        return not _matches_image(image, self.never_pulled)

    def readiness_delay(self, container: Object) -> float | None:
        """Simulated seconds from start to readiness; None for never."""
        image = str(container.get("image", ""))
        if _matches_image(image, self.never_ready):
            return None
        probe: Mapping[str, float] = container.get("readinessProbe") or {}
        own = [seconds for part, seconds in self.ready_after.items() if part in image]
        return max([self.ready_seconds, *own]) + float(probe.get("initialDelaySeconds") or 0)

    def find_exit(self, container: Object, *, initial: bool = False) -> tuple[int, float] | None:
        """Exit code and simulated seconds until then; None for a container that runs on.

        An `initial` container that is no sidecar ends by itself, whatever program it runs.
        """
        if _matches_image(str(container.get("image", "")), self.crashing):
            return 1, 1.0
        words = [*(container.get("command") or ()), *(container.get("args") or ())]
        text = _SUBSTITUTION.sub("", " ".join(map(str, words)))
        slept = _SLEEP.search(text)
        if slept and slept[1] == "infinity":
            return None
        seconds = float(slept[1]) if slept else 1.0
        if words[:1] == ["false"]:
            return 1, seconds
        if match := _EXIT.search(text):
            return int(match[1]), seconds
        # A shell that is given a script to run ends with it; other programs are taken for servers.
        if slept or _ECHO.search(text) or words[:1] in (["true"], ["echo"]):
            return 0, seconds
        return (0, seconds) if initial and container.get("restartPolicy") != "Always" else None


def container_output(container: Object) -> list[str]:
    """The lines that a container writes: what its command echoes."""
    words = [*(container.get("command") or ()), *(container.get("args") or ())]
    if words[:1] == ["echo"]:
        return [" ".join(map(str, words[1:]))]
    lines = _ECHO.findall(" ".join(map(str, words)))
    return [next(filter(None, parts), "").strip() for parts in lines]


def _matches_image(image: str, parts: set[str]) -> bool:
    return any(part in image for part in parts)
