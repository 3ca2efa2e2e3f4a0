"""The wiring of deploys and drift: GitHub, Helm, Kubernetes, and the chat as people see it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cache, partial
from typing import TYPE_CHECKING

from shared.kernel.errors import UsageError
from shared.settings import definitions
from shared.settings.environment import all_or_nothing, parse_setting, read_environment
from shared.wiring import connect_queues, load_policy, open_state, system_clock
from shared.wiring.kubernetes import connect_cluster, read_kubeconfig
from shared.wiring.notifications import build_notifier
from shared.wiring.pages import page_access
from shared.wiring.people import open_approvals

if TYPE_CHECKING:
    from shared.adapters.github import AppKey
    from shared.adapters.github.auth import TokenSource
    from shared.deploy.deps import DatabaseInfo, DecryptedValues, DeployDeps
    from shared.deploy.page import DeployPage
    from shared.deploy.ports.forge import Forge
    from shared.deploy.ports.rehearsals import Rehearsals
    from shared.deploy.ports.releases import ChartRenderer, Releases
    from shared.formats.agekeys import Identity
    from shared.health.ports import Health
    from shared.policy.deploy import DeployPolicy
    from shared.probes.model import ProbeReport
    from shared.upgrades.model import ProbeKey, UpgradeObservation


@cache
def deploy_deps() -> DeployDeps:
    """What deploys depend on. Raises UsageError with every bad setting."""
    from shared.adapters import kubernetes_schemas as manifests
    from shared.deploy.deps import DeployBackups, DeployDeps

    read = all_or_nothing(
        forge=connect_forge, releases=connect_releases, renderer=_connect_renderer,
        cluster=connect_cluster, state=open_state,
        queues=connect_queues,
        smoke_test=_smoke_test, compatible_mongodb=compatible_mongodb, notifications=build_notifier,
        identities=_age_identities, rules=_deploy_policy,
        page_url=_page_address, rehearsals=_open_rehearsals,
    )  # fmt: skip
    rules, identities = read.pop("rules"), read.pop("identities")
    return DeployDeps(
        repository=rules.repository,
        clock=system_clock(),
        policy=rules,
        backups=DeployBackups(_begin_backup, _backup_state),
        # A function and not a connection: the page and the sweep need deploys, and no MongoDB.
        database=_read_database,
        count_upgrade=_count_upgrade,
        run_probes=_run_probes,
        decrypt=partial(_decrypt_values, identities=identities),
        validate=manifests.validate,
        approvals=open_approvals,
        **read,
    )


def _open_rehearsals() -> Rehearsals | None:
    from shared.wiring.rehearsal import is_enabled, open_rehearsals

    return open_rehearsals() if is_enabled() else None


def _page_address() -> str:
    from shared.deploy.page_html import PATH

    url = read_environment().url()
    return f"{url}{PATH}" if url else ""


@cache
def deploy_page() -> DeployPage:
    """What the page needs: the records and who may see them, without the settings that deploys need."""
    from zoneinfo import ZoneInfo

    from shared.deploy.page import DeployPage

    return DeployPage(
        state=open_state(),
        clock=system_clock(),
        zone=ZoneInfo(load_policy().timezone),
        access=page_access(),
    )


def _deploy_policy() -> DeployPolicy:
    rules = load_policy().deploy
    # The repository is the switch: without one, a webhook with a valid signature deploys nothing.
    if not rules.repository:
        hint = "Set deploy.repository in policy.yaml to owner/name."
        raise UsageError("deploys are off", hint=hint)
    return rules


@cache
def connect_forge() -> Forge:
    """The chart's repository on GitHub. Raises UsageError."""
    from shared.adapters.github import connect

    env = read_environment()
    return connect(
        str(_deploy_policy().repository),
        github_credentials(),
        system_clock(),
        url=env.get(definitions.GITHUB),
    )


def github_credentials() -> AppKey | TokenSource:
    """How to sign in to GitHub: as an App, or with a token. Raises UsageError."""
    from shared.adapters.github import AppKey, fixed_token
    from shared.kernel.secret import Secret

    env = read_environment()
    token, app = env.secret(definitions.GITHUB_TOKEN), env.get(definitions.GITHUB_APP)
    if app:
        # App settings are one line each, so that a PEM file arrives with its line breaks written out.
        key = env.secret(definitions.GITHUB_APP_KEY).reveal().replace("\\n", "\n")
        return AppKey(app, Secret(key))
    if not token:
        names = f"{definitions.GITHUB_TOKEN.name} or {definitions.GITHUB_APP.name}"
        raise UsageError(f"neither {names} is set", hint="See docs/settings.md.")
    return fixed_token(token)


@cache
def connect_releases() -> Releases:
    """The release that policy names, by Helm. Raises UsageError."""
    from shared.adapters.helm import connect

    rules = load_policy().deploy
    helm = read_environment().get(definitions.HELM)
    return connect(read_kubeconfig(), rules.release, rules.namespace, binary=helm)


def _connect_renderer() -> ChartRenderer:
    from shared.adapters.helm.offline import connect_offline

    rules = load_policy().deploy
    return connect_offline(rules.release, rules.namespace, binary=read_environment().get(definitions.HELM))


def _smoke_test() -> Callable[[str], Health]:
    from shared.adapters.chat_probe.smoke import connect_smoke
    from shared.health.ports import Health

    url = read_environment().get(definitions.CHAT)
    if url:
        return parse_setting(definitions.CHAT, connect_smoke, url).check_release
    # Says so in the record: a deploy is not called good for a question that nobody asked.
    return lambda _version: Health(True, f"{definitions.CHAT.name} is not set: only the cluster was asked")


def compatible_mongodb() -> Callable[[str], tuple[str, ...] | None]:
    """Which MongoDB versions a Rocket.Chat supports, as its releases say. Raises UsageError."""
    from shared.adapters.chat_releases import connect

    url = read_environment().get(definitions.CHAT_RELEASES)
    return parse_setting(definitions.CHAT_RELEASES, connect, url).compatible


def _age_identities() -> list[Identity]:
    from shared.formats.agekeys import parse_key_setting

    text = read_environment().get(definitions.SOPS_AGE_KEY)
    # A key that a copy cut off is refused: passed over, its files would be "not encrypted to us" one day.
    return parse_setting(definitions.SOPS_AGE_KEY, parse_key_setting, text) if text else []


def _decrypt_values(text: str, name: str, identities: list[Identity]) -> DecryptedValues:
    from shared.deploy.deps import DecryptedValues
    from shared.formats import sops

    if not sops.is_encrypted(text, name):
        return DecryptedValues(text)
    return DecryptedValues(*sops.decrypt(text, name, identities))


def _read_database() -> DatabaseInfo:
    from shared.deploy.deps import DatabaseInfo
    from shared.mongodb.schema_version import read_schema_version
    from shared.wiring.backup import backup_deps

    # The backup's own connection and user: deploys need no further right in the database.
    source = backup_deps().connect()
    schema = read_schema_version(source)
    return DatabaseInfo(source.read_server_version(), schema, source.read_feature_version())


def _count_upgrade(probes: Collection[ProbeKey]) -> UpgradeObservation:
    from shared.adapters.mongodb.upgrade_counts import MongoUpgradeProbes

    uri = read_environment().secret(definitions.MONGODB).reveal()
    if not uri:
        raise UsageError(f"{definitions.MONGODB.name} is not set", hint="See docs/settings.md.")
    return MongoUpgradeProbes(uri, system_clock()).count(probes)


def _run_probes(sha: str, last_try: bool) -> ProbeReport:
    from shared.wiring.probes import run_for_deploy

    return run_for_deploy(sha, last_try=last_try)


def _begin_backup(reason: str) -> str:
    from shared.backup.begin import begin_set
    from shared.backup.catalogue import MANUAL
    from shared.wiring.backup import backup_deps

    # Of the class that pruning never takes: the rollback to before this deploy may be wanted weeks later.
    plan = begin_set(backup_deps(), MANUAL, reason=reason)
    return f"{plan.klass}/{plan.set}"


def _backup_state(reference: str) -> str:
    from shared.wiring.backup import trusted_catalogue

    return str(trusted_catalogue().find(reference).state)


def run_if_enabled(job: Callable[[DeployDeps], str]) -> str:
    """What a timer does where deploys may be off. Raises UsageError for bad settings where they are on."""
    return job(deploy_deps()) if load_policy().deploy.repository else "deploys are off"
