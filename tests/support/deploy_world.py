"""A deploy in memory: a repository with a chart, a release, a cluster, storage, a queue, a clock, people."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.cluster import MemoryCluster
from local.fakes.faults import FaultPlan, with_faults
from local.fakes.forge import MemoryForge
from local.fakes.notifications import MemoryNotifications
from local.fakes.queues import MemoryQueues
from local.fakes.releases import MemoryReleases
from local.github import Pull, Repository
from shared.deploy import job as deploy
from shared.deploy.deps import DatabaseInfo, DecryptedValues, DeployBackups, DeployDeps
from shared.deploy.ports.rehearsals import Rehearsals
from shared.deploy.progress import DeployState
from shared.deploy.records.deploy_record import DeployRecord
from shared.health.ports import Health
from shared.kernel.errors import GroundcrewError
from shared.policy.deploy import DeployPolicy
from shared.probes.model import ProbeReport
from shared.upgrades.model import ProbeKey, ProbeResult, UpgradeObservation
from tests.support.approvals import make_approvals
from tests.support.deaths import fingerprint_of

REPOSITORY = "acme/chat"
IMAGE = "registry.example/rocket.chat"
TEMPLATE = f"""
apiVersion: apps/v1
kind: Deployment
metadata:
  name: rocketchat-rocketchat
spec:
  replicas: 1
  selector: {{matchLabels: {{app: chat}}}}
  template:
    metadata: {{labels: {{app: chat}}}}
    spec:
      containers:
        - name: rocketchat
          image: "{IMAGE}:{{{{ .Values.image.tag }}}}"
          env: [{{name: ROOT_URL, value: "https://{{{{ .Values.host }}}}"}}]
"""
VALUES = 'host: {host}\nimage:\n  tag: "{tag}"\nmongodb:\n  enabled: false\n'


def chart_files(tag: str = "8.2.0", host: str = "chat.example.org") -> dict[str, bytes]:
    """The repository's files."""
    return {
        "Chart.yaml": f"apiVersion: v2\nname: rocketchat\nversion: 6.27.0\nappVersion: {tag}\n".encode(),
        "values.yaml": VALUES.format(host=host, tag=tag).encode(),
        "templates/deployment.yaml": TEMPLATE.encode(),
    }


def _count_nothing(probes: Collection[ProbeKey]) -> UpgradeObservation:
    """A database in which no rule fires."""
    return UpgradeObservation({probe: ProbeResult() for probe in probes}, frozenset())


class LiveCluster(MemoryCluster):
    """Shows what the release applied as running; images with `never-ready` in their name do not get ready."""

    def __init__(self, releases: MemoryReleases) -> None:
        super().__init__()
        self._releases, self._seen = releases, 0
        self._created: dict[str, datetime] = {}  # by what a pod runs
        self.show: Callable[[str, list[Any]], list[Any]] = lambda _kind, items: items
        self.kept_away: set[str] = set()  # something removes them as often as they are applied
        self.unready = ("never-ready", "never-pulls")
        self.add(
            {
                "kind": "Node",
                "metadata": {"name": "vm"},
                "status": {
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "allocatable": {"memory": "16Gi", "ephemeral-storage": "100Gi"},
                },
            }
        )

    def get_live_objects(self, manifests: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any] | None]:
        if self._seen != self._releases.applied:  # what was changed by hand before is as deployed again
            self._seen = self._releases.applied
            self._items_of("Deployment")
        for name in self.kept_away:
            self.remove("Deployment", name)
        return super().get_live_objects(manifests)

    def _items_of(self, kind: str) -> list[Any]:
        templates = {str(manifest["spec"]["template"]) for manifest in self._releases.live}
        self._created = {run: at for run, at in self._created.items() if run in templates}
        for manifest in self._releases.live:
            image = manifest["spec"]["template"]["spec"]["containers"][0]["image"]
            created = self._created.setdefault(str(manifest["spec"]["template"]), self._releases.now())
            self.add(_running(manifest), _pod(image, created, ready=self._ready(image)))
            if not self._ready(image):
                self.add({**_running(manifest), "status": {}})
        shown = super()._items_of(kind)
        return self.show(kind, list(shown))

    def _ready(self, image: str) -> bool:
        return not any(word in image for word in self.unready)


def _running(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {**manifest, "status": {"readyReplicas": 1, "updatedReplicas": 1, "observedGeneration": 1}}


def _pod(image: str, created: datetime, *, ready: bool) -> dict[str, Any]:
    state = {"running": {}} if ready else {"waiting": {"reason": "ImagePullBackOff", "message": "no"}}
    return {
        "kind": "Pod",
        "metadata": {
            "name": "rocketchat-1",
            "labels": {"app": "chat"},
            "creationTimestamp": created.isoformat(),
        },
        "spec": {"containers": [{"image": image}]},
        "status": {
            "phase": "Running",
            "containerStatuses": [{"name": "rocketchat", "state": state}],
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }


@dataclass
class World:
    """Everything outside of the job; `deps(plan)` is what it needs, with faults in all of it."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(datetime(2026, 11, 23, 9, tzinfo=UTC)))
    policy: DeployPolicy = field(default_factory=lambda: DeployPolicy(repository=REPOSITORY))
    schema: int | None = 300
    mongodb: str = "8.0.13"
    login: Callable[[], bool] = lambda: True
    migrates: dict[str, int] = field(default_factory=dict)  # the schema that a version makes when it starts
    page: str = "https://groundcrew.example.org/api/deploys"

    def __post_init__(self) -> None:
        self.repository = Repository(REPOSITORY)
        self.repository.history.now = self.clock.now
        self.repository.environment("production")
        self.repository.commit(chart_files())
        self.forge = MemoryForge(self.repository)
        self.releases = MemoryReleases(clock=self.clock)
        self.cluster = LiveCluster(self.releases)
        self.state, self.queues = MemoryBlobs(self.clock), MemoryQueues(self.clock)
        self.people = MemoryNotifications(self.clock)
        self.backups: dict[str, str] = {}
        self.database_failures: list[GroundcrewError] = []
        self.readings: list[int] = []  # the schema, each time somebody looks
        self.decrypt: Callable[[str, str], DecryptedValues] = lambda text, _name: DecryptedValues(text)
        self.smoke: Callable[[str], Health] = self._smoke
        self.count_upgrade: Callable[[Collection[ProbeKey]], UpgradeObservation] = _count_nothing
        self.run_probes: Callable[[str, bool], ProbeReport] = lambda _sha, _last_try: ProbeReport()
        self.rehearsals: Rehearsals | None = None
        self.compatible: dict[str, tuple[str, ...]] = {}
        self._topics = 0

    def deps(self, plan: FaultPlan | None = None) -> DeployDeps:
        plan = plan or FaultPlan()
        return DeployDeps(
            repository=REPOSITORY,
            forge=with_faults(self.forge, plan, "forge"),
            releases=with_faults(self.releases, plan, "releases"),
            renderer=with_faults(self.releases.renderer, plan, "renderer"),
            cluster=with_faults(self.cluster, plan, "cluster"),
            state=with_faults(self.state, plan, "state"),
            queues=with_faults(self.queues, plan, "queues"),
            clock=self.clock,
            policy=self.policy,
            notifications=with_faults(self.people, plan, "people"),
            approvals=lambda: make_approvals(with_faults(self.state, plan, "state"), self.clock),
            backups=with_faults(DeployBackups(self._begin_backup, self.backups.__getitem__), plan, "backups"),
            database=lambda: plan.run("server", self._server),
            count_upgrade=lambda probes: plan.run("probes", lambda: self.count_upgrade(probes)),
            compatible_mongodb=lambda version: self.compatible.get(version, ("8.0",)),
            smoke_test=lambda version: plan.run("smoke", lambda: self.smoke(version)),
            run_probes=lambda sha, last_try: plan.run("look", lambda: self.run_probes(sha, last_try)),
            decrypt=lambda text, name: self.decrypt(text, name),
            validate=lambda _manifests, _version: [],
            rehearsals=self.rehearsals,
            page_url=self.page,
        )

    def _server(self) -> DatabaseInfo:
        for manifest in self.releases.live:
            version = manifest["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2]
            self.schema = max(self.schema or 0, self.migrates.get(version, 0)) or None
        if self.database_failures:
            raise self.database_failures.pop(0)
        if self.readings:
            self.schema = self.readings.pop(0)
        return DatabaseInfo(self.mongodb, self.schema)

    def _begin_backup(self, _reason: str) -> str:
        name = f"manual/20261123T09000{len(self.backups)}Z"
        self.backups[name] = "open"
        return name

    def _smoke(self, version: str) -> Health:
        running = [one["spec"]["template"]["spec"]["containers"][0]["image"] for one in self.releases.live]
        well = self.login() and running == [f"{IMAGE}:{version}"]
        return Health(well, f"Rocket.Chat {version} lets people in" if well else "no login page")

    def copy(self) -> World:
        """Another world that goes on from here: far cheaper than to make it anew."""
        return copy.deepcopy(self)

    def fingerprint(self) -> bytes:
        """The same for two copies of which nothing has changed since."""
        return fingerprint_of(self)

    # -- what people do ----------------------------------------------------------------------------

    def propose(self, files: Mapping[str, bytes | None], *, author: str = "ada", title: str = "") -> Pull:
        """Open a pull request that changes files."""
        self._topics += 1
        topic = f"topic-{self._topics}"
        self.repository.branch(topic)
        self.repository.commit(dict(files), branch=topic, author=author)
        return self.repository.open_pull(topic, author=author, title=title or f"Change {self._topics}")

    def merge(
        self, files: Mapping[str, bytes | None], *, approved: bool = True, title: str = ""
    ) -> tuple[Pull, str]:
        """A change that was approved, merged, and told about by a message on the queue."""
        pull = self.propose(files, title=title)
        if approved:
            self.repository.review(pull, "grace")
        sha = self.repository.merge(pull, by="grace")
        self.send(sha, pull.number)
        return pull, sha

    def broken(self, tag: str = "8.2.0", host: str = "broken.example.org") -> dict[str, bytes]:
        """A chart whose pods never get ready, though they may start."""
        made = chart_files(tag, host)
        template = made["templates/deployment.yaml"].replace(b"registry.example", b"never-pulls.example")
        return {**made, "templates/deployment.yaml": template}

    def send(self, sha: str, pull: int = 0, delivery: str = "", **more: Any) -> dict[str, Any]:
        """Put a request on the queue as the endpoint does."""
        asked = {"repository": REPOSITORY, "sha": sha, "environment": "production", "pull": pull}
        asked |= {"delivery": delivery or f"d-{sha[:12]}", **more}
        self.queues.send(deploy.QUEUE, json.dumps([asked]))
        return asked

    # -- what the host does ------------------------------------------------------------------------

    def work(
        self,
        plan: FaultPlan | None = None,
        *,
        most: int = 60,
        between: timedelta = timedelta(seconds=1),
    ) -> list[str]:
        """Messages in turn, each gone only when its function has returned; the clock moves to the next.

        `between` passes after each at least.
        """
        deps, done = self.deps(plan), []
        while self.queues.length(deploy.QUEUE) and len(done) < most:
            waiting = self.queues.visible(deploy.QUEUE)
            if not waiting:
                self.clock.advance(timedelta(seconds=5))
                continue
            parsed = json.loads(waiting[0])
            done.append(deploy.handle_message(deps, parsed if isinstance(parsed, list) else [parsed]))
            self.queues.take(deploy.QUEUE)
            self.finish_backups()
            self.clock.advance(between)
        return done

    def finish_backups(self, state: str = "sealed") -> None:
        for name, now in self.backups.items():
            self.backups[name] = state if now == "open" else now

    def die(self) -> None:
        """The process is gone: its leases end, its message comes back."""
        self.state.holders_died()
        self.clock.advance(timedelta(minutes=6))

    # -- what came of it ---------------------------------------------------------------------------

    def deployed_first(self, tag: str = "8.2.0") -> str:
        """A first release, healthy, into an empty database."""
        schema, self.schema = self.schema, None
        _, sha = self.merge(chart_files(tag, host="chat.example.net"))
        self.work()
        self.schema = schema
        assert self.record(sha).state is DeployState.DONE, self.record(sha)
        self.people.told.clear()
        return sha

    def record(self, sha: str) -> DeployRecord:
        """The newest deploy of the commit."""
        return [one for one in self.deps().deploys.list_recent() if one.progress.sha == sha][-1]

    @property
    def runs(self) -> str:
        """The image that the release runs."""
        live = self.releases.live
        return str(live[0]["spec"]["template"]["spec"]["containers"][0]["image"]) if live else ""

    def statuses(self, sha: str) -> list[str]:
        """The states GitHub was told for the commit, in order, without repetitions."""
        told = [s.state for made in self.repository.deployments if made.sha == sha for s in made.statuses]
        return [one for index, one in enumerate(told) if index == 0 or told[index - 1] != one]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def make_world() -> type[World]:
    return World


@pytest.fixture
def files() -> Callable[..., dict[str, bytes]]:
    return chart_files
