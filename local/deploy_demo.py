"""The second part of `make demo`: a signed merge becomes a new revision, and a bad one is undone and told.

GitHub, the cluster and the chat's own pages are stand-ins on this machine; Helm, the Functions host, the
queue, the database and its backup are real.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from local.azure_and_chat import add_webhook
from local.chart import rocketchat
from local.chat import ChatServer
from local.chat_pages import ChatPages
from local.github import GitHubServer, Pull, Repository, webhooks
from local.helm import ensure_helm
from local.kubernetes import KubernetesServer
from local.rocketchat.seed import seed_database
from local.server import Served
from local.stack import ROOT, Stack
from shared.adapters.blobs import open_blobs
from shared.adapters.clock import SystemClock
from shared.deploy.records.deploy_record import DeployRecord
from shared.deploy.records.deploys import DeployStore
from shared.formats.agekeys import generate_identity
from shared.formats.sops_writer import SealRules, seal
from shared.kernel.errors import GroundcrewError
from shared.settings.environment import parse_storage_account

REPOSITORY = "acme/chat"
NAMESPACE = RELEASE = "rocketchat"
_WAIT_SECONDS = 900.0  # against what never ends: real controllers on a busy machine take minutes
_VALUES = """\
host: chat.example.org
image:
  repository: {repository}
  tag: "{version}"
existingMongodbSecret: chat-mongodb
mongodb:
  enabled: false
podAnnotations:
  groundcrew/greeting: {greeting}
"""
IMAGE = "registry.rocket.chat/rocketchat/rocket.chat"
VALUES_FILE = "production.yaml"
NEVER = "registry.invalid/never-pulls/rocket.chat"


@dataclass
class Site:
    """A context manager: GitHub, a cluster, the chat's pages. `settings` and `policy` are for the stack."""

    directory: Path
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    # The chart's files for a version, and what becomes of the stand-in's values for another chart.
    chart: Callable[[str], Mapping[str, bytes]] = field(
        default=lambda version: rocketchat(app_version=version)
    )
    adapt_values: Callable[[str], str] = field(default=str)
    open_cluster: Callable[[], AbstractContextManager[KubernetesServer]] = KubernetesServer
    # How values are encrypted to a recipient; by the recipient's secret key, what was may be changed again.
    seal_values: Callable[[str, str, str], bytes] = field(
        default=lambda values, recipient, _secret: _seal_greeting(values, recipient)
    )

    _open: ExitStack = field(init=False, default_factory=ExitStack)
    # The secret key and its recipient.
    _sops_key: tuple[str, str] = field(
        init=False, repr=False, default_factory=lambda: generate_identity(post_quantum=False)
    )

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            self.github = self._open.enter_context(GitHubServer())
            self.cluster = self._open.enter_context(self.open_cluster())
            self.cluster.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
            self.cluster.add(_secret_manifest())
            self.people = self._open.enter_context(ChatServer())
            self.chat = ChatPages(self.cluster, RELEASE, NAMESPACE)
            self.pages = self._open.enter_context(Served(self.chat.application))
        except BaseException:
            self._open.close()
            raise
        self._notify = f"chat={add_webhook(self.people)}"
        self._prepare_settings()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _prepare_settings(self) -> None:
        self.repository.environment("production", branches="protected")
        self.repository.protect(required_checks=["lint"])
        self.repository.commit(self._files("8.2.0", "nothing is deployed yet"))

    @property
    def repository(self) -> Repository:
        """The chart's repository."""
        return self.github.repository(REPOSITORY)

    @property
    def settings(self) -> Mapping[str, str]:
        """What the app is told of all this."""
        kubeconfig = self.cluster.kubeconfig(self.directory / "kubeconfig")
        return {
            "GROUNDCREW_GITHUB": self.github.url,
            "GROUNDCREW_GITHUB_TOKEN": self.github.token,
            "GROUNDCREW_GITHUB_WEBHOOK_SECRETS": self.secret,
            "GROUNDCREW_KUBECONFIG": str(kubeconfig),
            "GROUNDCREW_HELM": str(ensure_helm()),
            "GROUNDCREW_CHAT": self.pages.url,
            "GROUNDCREW_CHAT_RELEASES": self.pages.url,
            "GROUNDCREW_NOTIFY_URLS": self._notify,
            "GROUNDCREW_WAKE_SIGN_IN": "none",
            "GROUNDCREW_SOPS_AGE_KEY": self._sops_key[0],
        }

    def policy(self, text: str) -> Path:
        """The policy with deploys switched on, as a file."""
        deploy = f"""deploy:
  repository: {REPOSITORY}
  branch: main
  chart: chart
  values: [{VALUES_FILE}]
  namespace: {NAMESPACE}
  release: {RELEASE}
  approvals: 1
  helm_timeout: 60s
  plan_comments: branches
"""
        path = self.directory / "policy.yaml"
        path.write_text(re.sub(r"(?ms)^deploy:\n.*?(?=^\S|\Z)", deploy, text))
        return path

    def propose(self, version: str, greeting: str, *, image: str = IMAGE, is_sealed: bool = False) -> Pull:
        """A pull request with green checks and an approval; `is_sealed`: the greeting is encrypted."""
        topic = f"topic-{secrets.token_hex(3)}"
        self.repository.branch(topic)
        files = self._files(version, greeting, image)
        if is_sealed:
            secret, recipient = self._sops_key
            files[VALUES_FILE] = self.seal_values(files[VALUES_FILE].decode(), recipient, secret)
        self.repository.commit(files, branch=topic, author="ada")
        pull = self.repository.open_pull(
            topic, author="ada", title="Say what is sealed" if is_sealed else f"Say {greeting}"
        )
        self.repository.check(pull.head_sha, "lint")
        self.repository.review(pull, "grace")
        return pull

    def merge(self, url: str, pull: Pull) -> str:
        """Merge it, let GitHub tell the host at `url`, and give the commit. Raises SystemExit if refused."""
        sha = self.repository.merge(pull, by="grace")
        payload = webhooks.pull_request(self.repository, pull, self.github.url)
        delivery = self.github.deliver(f"{url}/api/github/webhook", "pull_request", payload, self.secret)
        if delivery.status != 202:
            raise SystemExit(f"the webhook was answered with {delivery.status}: {delivery.body}")
        return sha

    def read_greeting(self) -> str:
        """What the chat's pods are told to say; empty if it is not deployed."""
        deployment = self.cluster.get("Deployment", f"{RELEASE}-rocketchat", NAMESPACE) or {"spec": {}}
        template = deployment["spec"].get("template") or {"metadata": {}}
        return str(template["metadata"].get("annotations", {}).get("groundcrew/greeting", ""))

    def _files(self, version: str, greeting: str, image: str = IMAGE) -> dict[str, bytes]:
        chart = {f"chart/{path}": data for path, data in self.chart(version).items()}
        values = _VALUES.format(version=version, greeting=json.dumps(greeting), repository=image)
        return {**chart, VALUES_FILE: self.adapt_values(values).encode()}

    def statuses(self, sha: str) -> list[str]:
        """The states of the commit's deployments on GitHub, in order."""
        deployments = [one for one in self.repository.deployments if one.sha == sha]
        return [status.state for one in deployments for status in one.statuses]


def _seal_greeting(values: str, recipient: str) -> bytes:
    """The values as `groundcrew secrets seal --encrypted-regex` has them."""
    rules = SealRules(encrypted_regex="^groundcrew/greeting$")
    return seal(values, VALUES_FILE, [recipient], rules, datetime.now(UTC)).encode()


def _secret_manifest() -> dict[str, object]:
    """What the chat reads its database's address from."""
    meta = {"name": "chat-mongodb", "namespace": NAMESPACE}
    uri = f"mongodb://chat:{secrets.token_hex(8)}@mongodb.example.org/rocketchat"
    data = {key: base64.b64encode(uri.encode()).decode() for key in ("mongo-uri", "mongo-oplog-uri")}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data}


class DeployWatch:
    """Looks for the deploys of commits, again and again: each look is a listing and the one record."""

    def __init__(self, stack: Stack) -> None:
        self._blobs = open_blobs(parse_storage_account(stack.settings["AzureWebJobsStorage"]), "groundcrew")
        self.store = DeployStore(self._blobs, SystemClock())

    def find(self, sha: str) -> DeployRecord | None:
        """The deploy of the commit that was asked for last; None as long as none was."""
        names = [
            blob.name.rpartition("/")[2] for blob in self._blobs.list("runs/deploy/") if sha in blob.name
        ]
        records = [self.store.load(name.removesuffix(".json")) for name in names]
        return max(records, key=lambda record: record.started, default=None)


def wait_for_deploy(stack: Stack, sha: str, *, seconds: float = _WAIT_SECONDS) -> DeployRecord:
    """The deploy of the commit, once it is over. Raises SystemExit if that takes too long."""
    watch, deadline = DeployWatch(stack), time.monotonic() + seconds
    while time.monotonic() < deadline:
        record = watch.find(sha)
        if record is not None and record.ended:
            return record
        time.sleep(0.5)
    raise SystemExit(f"the deploy of {sha[:7]} did not end within {seconds} s:\n{stack.host.log_tail()}")


Step = Callable[[str], AbstractContextManager[list[str]]]


@contextmanager
def _silent_step(_name: str) -> Iterator[list[str]]:
    yield []


def run(stack: Stack, site: Site, step: Step = _silent_step) -> None:
    """Install, upgrade with a backup before, and let a bad merge be undone. Raises SystemExit.

    `step(name)` is a context manager that takes a list of what came out, as `local.demo.Steps.step`.
    """
    url = stack.host.url
    with step(
        "Merge a first release: signed webhook, gates, a backup of what is there, helm, smoke test"
    ) as facts:
        record = _expect_state(stack, site, site.merge(url, site.propose("8.2.0", "hello")), "done")
        facts.append(f"{record.progress.reason}; GitHub says {site.statuses(record.progress.sha)[-1]}")
    with step("Merge a new version: a backup first, then the upgrade") as facts:
        record = _expect_state(stack, site, site.merge(url, site.propose("8.3.0", "hello again")), "done")
        facts.append(f"backup {record.progress.backup}; {record.progress.reason}")
    with step("Merge an image that never pulls") as facts:
        bad = site.propose("8.3.0", "goodbye", image=NEVER)
        record = _expect_state(stack, site, site.merge(url, bad), "rolled_back")
        notice = site.people.wait_for("was rolled back")[-1].splitlines()[0]
        facts.append(f"the chat hears: {notice}; GitHub says {site.statuses(record.progress.sha)[-1]}")
        if site.chat.version() != "8.3.0":
            raise SystemExit(f"8.3.0 should serve again, not {site.chat.version() or 'nothing'}")
    with step("Forge a signature") as facts:
        payload = webhooks.pull_request(site.repository, bad, site.github.url)
        forged = site.github.deliver(f"{url}/api/github/webhook", "pull_request", payload, "not the secret")
        if forged.status != 401:
            raise SystemExit(f"a forged webhook was answered with {forged.status}")
        facts.append(f"answered with {forged.status}")


def _expect_state(stack: Stack, site: Site, sha: str, state: str) -> DeployRecord:
    record = wait_for_deploy(stack, sha)
    if record.state.value != state:
        lines = [record.progress.reason, *record.gates, *record.log, *map(str, site.statuses(sha))]
        raise SystemExit(f"{sha[:7]} is {record.state.value}, not {state}:\n" + "\n".join(lines))
    return record


def demo(state: Path, step: Step) -> str:
    """This part by itself, with a small database, in the folder `state`.

    Returns why it could not be shown, if there is no Helm for this machine; else nothing. Raises SystemExit.
    """
    try:
        ensure_helm()
    except GroundcrewError as error:
        return str(error)
    with Site(state / "site") as site:
        policy = site.policy((ROOT / "policy.yaml").read_text())
        with Stack(state / "stack", policy=policy, environment=dict(site.settings)) as stack:
            seed_database(stack.mongodb_uri, megabytes="tiny", seed=7)
            run(stack, site, step)
    return ""
