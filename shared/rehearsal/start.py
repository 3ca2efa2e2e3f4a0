"""Lets the target version start on the copy, waits for its migrations and measures them, tries the server."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.formats.rehearsals import RehearsalMeasures, RehearsedProbe
from shared.kernel.errors import GroundcrewError, NotFound, Unavailable
from shared.kernel.versions import Version
from shared.rehearsal.decide import build_measures, describe_timeout, judge_end
from shared.rehearsal.deps import RehearsalDeps
from shared.rehearsal.model import ChatPlan, MigrationControl, RehearsalPod, ScriptState
from shared.rehearsal.observe import explain_exit
from shared.rehearsal.ports import StartedChat
from shared.rehearsal.stage import RehearsalStage

_LOOK_SECONDS = 2.0
_FILE = b"groundcrew rehearsal\n" * 4096  # more than one chunk's worth of nothing that compresses away


@dataclass
class StartWatch:
    """What was seen of a start so far."""

    began: datetime
    before: MigrationControl | None
    restored_bytes: int
    control: MigrationControl | None = None
    settled: datetime | None = None  # since when the counter stands still and is not locked
    peak_bytes: int = 0

    def note(self, control: MigrationControl | None, size: int, now: datetime) -> None:
        """Take another look into account."""
        self.peak_bytes = max(self.peak_bytes, size)
        if control != self.control or (control is not None and control.locked):
            self.control, self.settled = control, None
        if self.settled is None and control is not None and not control.locked:
            self.settled = now

    def measure(self, now: datetime, scripts: tuple[ScriptState, ...] = ()) -> RehearsalMeasures:
        """What it comes to. A counter that never moved was migrated in no time."""
        moved = self.control is not None and self.before is not None and self.control != self.before
        migrated = (self.settled or now) - self.began if moved else timedelta()
        return build_measures(
            self.before, self.control, migrated=migrated, ready=now - self.began,
            restored_bytes=self.restored_bytes, peak_bytes=self.peak_bytes,
            scripts=[(one.name, one.error) for one in scripts],
        )  # fmt: skip


@dataclass(frozen=True)
class StartOutcome:
    """How a start went. `problem` is why it failed, empty if it did not."""

    problem: str = ""
    measures: RehearsalMeasures | None = None
    probes: tuple[RehearsedProbe, ...] = ()
    sign_ins: tuple[frozenset[str], frozenset[str]] = field(default=(frozenset(), frozenset()))


class ChatStart:
    """One start on one stage; `beat(step)` is called at each look, and raises once the lease is lost."""

    def __init__(
        self,
        deps: RehearsalDeps,
        stage: RehearsalStage,
        plan: ChatPlan,
        database: str,
        beat: Callable[[str], None],
    ) -> None:
        self._deps, self._stage, self._plan = deps, stage, plan
        self._name, self._beat = database, beat

    def run(self) -> StartOutcome:
        """Blank, open the start gate, wait, try. Raises Unavailable for what the cluster did to the pod."""
        deps, copy = self._deps, self._stage.database
        self._beat("blanking what leads out")
        copy.blank(self._name)
        token = deps.make_token()
        user = copy.add_probe_user(self._name, token)
        sign_ins = copy.list_sign_in_methods(self._name)
        watch = StartWatch(deps.clock.now(), copy.read_control(self._name), copy.measure_bytes())
        watch.note(watch.before, watch.restored_bytes, watch.began)
        copy.open_start_gate()
        try:
            problem = self._await_chat(watch, user, token)
        except _Ended as ended:
            return StartOutcome(ended.problem, watch.measure(deps.clock.now()))
        if problem:
            return StartOutcome(problem, watch.measure(deps.clock.now()))
        ready = deps.clock.now()
        self._look(watch)  # the counter may have moved since the last look
        probes, scripts = self._try_chat(user, token)
        after = copy.list_sign_in_methods(self._name)
        return StartOutcome("", watch.measure(ready, scripts), probes, (sign_ins, after))

    def _await_chat(self, watch: StartWatch, user: str, token: str) -> str:
        """Why it did not come up; empty once it answers."""
        deps, end = self._deps, watch.began + self._deps.policy.start_within
        while True:
            self._beat(_describe_wait(watch.control))
            # First: MongoDB goes with the pod, and the Job that says why is removed minutes later.
            pod = self._check_pod(watch.control)
            # MongoDB is busy while it migrates.
            with contextlib.suppress(Unavailable):
                self._look(watch)
            # Not asked while it migrates: it listens only after that.
            may_answer = pod.chat_running and (watch.settled is not None or watch.control is None)
            if may_answer and self._answers(user, token):
                return ""
            if deps.clock.now() >= end:
                return describe_timeout(watch.control, deps.policy.start_within)
            deps.pause(_LOOK_SECONDS)

    def _look(self, watch: StartWatch) -> None:
        copy = self._stage.database
        watch.note(copy.read_control(self._name), copy.measure_bytes(), self._deps.clock.now())

    def _check_pod(self, control: MigrationControl | None) -> RehearsalPod:
        pod = self._deps.cluster.observe_rehearsal(self._stage.job)
        if not pod.ended:
            return pod
        problem, is_verdict = judge_end(pod, explain_exit(pod))
        if not is_verdict:
            raise Unavailable("the rehearsal's pod ended in the middle", value=problem)
        where = f" (schema {control.version}{', locked' if control.locked else ''})" if control else ""
        raise _Ended(f"{problem}{where}")

    def _answers(self, user: str, token: str) -> bool:
        """Whether it serves as the version that was to be started."""
        try:
            with self._open_chat(user, token) as chat:
                return _is_version(chat.read_version(), self._plan.version)
        except (Unavailable, NotFound):
            return False  # its container has not begun, or does not listen yet

    def _try_chat(self, user: str, token: str) -> tuple[tuple[RehearsedProbe, ...], tuple[ScriptState, ...]]:
        with self._open_chat(user, token) as chat:
            probes = []
            for name, act in (
                ("sign-in", chat.sign_in),
                ("message", lambda: chat.send_message(f"groundcrew rehearsal {self._stage.job}")),
                ("upload", lambda: chat.upload_file("rehearsal.txt", _FILE)),
            ):
                self._beat(f"trying: {name}")
                probes.append(_try_probe(name, act))
            self._beat("trying: scripts of integrations")
            return tuple(probes), _save_scripts(chat)

    @contextlib.contextmanager
    def _open_chat(self, user: str, token: str) -> Iterator[StartedChat]:
        port = self._plan.container.port
        with closing(self._deps.cluster.forward_port(self._stage.pod, port)) as tunnel:
            yield self._deps.connect_chat(f"http://127.0.0.1:{tunnel.port}", user, token)


class _Ended(Exception):
    """Rocket.Chat ended by itself."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(problem)


def _describe_wait(control: MigrationControl | None) -> str:
    if control is None:
        return "waiting for Rocket.Chat to start"
    return f"{'migrating from' if control.locked else 'waiting for Rocket.Chat, schema'} {control.version}"


def _is_version(reported: str, expected: str) -> bool:
    version = Version.parse(expected)
    if version is None:
        return bool(reported)
    return reported in (str(version), version.series)


def _try_probe(name: str, act: Callable[[], str]) -> RehearsedProbe:
    try:
        problem = act()
    except GroundcrewError as error:
        problem = error.message if error.value is None else f"{error.message}: {error.value}"
    return RehearsedProbe(name, not problem, problem or "works")


def _save_scripts(chat: StartedChat) -> tuple[ScriptState, ...]:
    return tuple(chat.save_scripts())
