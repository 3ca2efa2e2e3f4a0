"""A rehearsal over the API of a cluster, a MongoDB and a Rocket.Chat that migrates, with its file's rights.

The stand-ins' pods run real programs: each copy is a server of its own, which goes with its pod. That no
packet leaves is the network plugin's to enforce: here it is held that the policy is there, that it is asked
for, and that nothing in the pod is told of anything outside.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.fakes.faults import Fault, FaultPlan, Killed, with_faults
from local.kubernetes import KubernetesServer
from local.kubernetes.behaviour import Behaviour
from local.rocketchat.upgraded import UpgradeStage, run_in_pods
from local.stack import ROOT
from shared.adapters.chat_admin.rehearsed import connect_rehearsed
from shared.adapters.kubernetes.rehearsal import connect_rehearsal
from shared.adapters.kubernetes.scratch import list_drill_rights
from shared.adapters.mongodb import connect_rehearsal as connect_copy
from shared.adapters.mongodb import connect_target
from shared.formats.rehearsals import FAILED, PASSED, Rehearsal
from shared.kernel.secret import Secret
from shared.rehearsal.blanked import SETTINGS
from shared.rehearsal.deps import RehearsalDeps
from tests.support.rehearsal_world import RehearsalWorld

pytestmark = pytest.mark.timeout(600)
NAMESPACE = "groundcrew-rehearsal"
RIGHTS = ROOT / "infra" / "chart" / "rbac-rehearsal.yaml"
SECONDS = 90


def rights() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(RIGHTS.read_text()))


def release_rights() -> list[dict[str, Any]]:
    """What rbac.yaml grants in the release's namespace, without its cluster-wide rights."""
    every = yaml.safe_load_all((ROOT / "infra" / "chart" / "rbac.yaml").read_text())
    return [one for one in every if one["metadata"].get("namespace") == "rocketchat"]


class Site(RehearsalWorld):
    """The world of rehearsals with a cluster that answers."""

    server: KubernetesServer
    stage: UpgradeStage
    kubeconfig: Path

    def deps(self, faults: FaultPlan | None = None) -> RehearsalDeps:
        made = super().deps(faults)
        cluster = connect_rehearsal(Secret(self.kubeconfig.read_text()), NAMESPACE, "rocketchat")
        # Whoever dies here calls nothing any more, the removal of its Job included.
        cluster = with_faults(cluster, faults or FaultPlan(), "api")
        return replace(
            made, cluster=cluster, connect_server=connect_target, connect_database=connect_copy,
            connect_chat=connect_rehearsed, pause=self._pause,
        )  # fmt: skip

    def _pause(self, seconds: float) -> None:
        # The policy's times are of the world's clock, what is waited for is of this machine's.
        time.sleep(min(seconds, 0.1))
        self.clock.advance(timedelta(seconds=min(seconds, 0.5)))

    def plant(self, collection: str, document: dict[str, Any]) -> None:
        self.world.database.write("rocketchat", collection, document)

    def left(self) -> list[str]:
        """What is left in the namespace, once pods had their time to go."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            kinds = [(kind, self.server.cluster.list(kind, NAMESPACE)) for kind in ("Job", "Pod")]
            names = [f"{kind}/{one['metadata']['name']}" for kind, items in kinds for one in items]
            copies = [str(path) for path in self.stage.folder.iterdir()]
            if not names and not copies:
                return []
            time.sleep(0.1)
        return names + copies

    def next_night(self) -> None:
        self.clock.advance(timedelta(days=1))
        self.seal()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    # Slower than in other tests: a Job that ended must outlive the looks of a slow machine.
    with KubernetesServer(behaviour=Behaviour(second=0.2)) as server:
        release = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "rocketchat"}}
        server.add(release, *rights(), *release_rights())
        made = Site()
        made.server, made.stage = server, run_in_pods(server, tmp_path / "copies")
        token = server.token_for("groundcrew", "rocketchat")
        made.kubeconfig = server.kubeconfig(tmp_path / "kubeconfig", token=token)
        made.plant("rocketchat_settings", {"_id": "Push_enable", "value": True})
        made.plant("rocketchat_settings", {"_id": "Accounts_OAuth_Custom-Keycloak", "value": True})
        made.plant("users", {"_id": "ana", "username": "ana"})
        for number, script in enumerate(("class Script { process() { } }", "class Script { process() {")):
            made.plant(
                "rocketchat_integrations",
                {"_id": f"i{number}", "name": f"hook-{number}", "type": "webhook-incoming", "enabled": True,
                 "scriptEnabled": True, "script": script, "channel": ["#general"]},
            )  # fmt: skip
        made.next_night()
        yield made


def rehearse_and_die(site: Site) -> Rehearsal:
    """The pod runs on without its worker; the next one removes it, and begins anew."""
    # The second forward is the first to Rocket.Chat, which was let start by then.
    pull, plan = site.propose(), FaultPlan(Fault(Killed(), operation="api.forward_port", step=1))
    site.begin(pull)
    with pytest.raises(Killed):
        site.work(plan)
    assert site.server.cluster.list("Job", NAMESPACE) != []
    site.die()
    site.work()
    return site.record(pull.head_sha)


def test_the_gate_opens_without_and_closes_on_a_planted_duplicate_and_nothing_is_left(site: Site) -> None:
    record = rehearse_and_die(site)
    assert (record.state, record.problem, record.attempts) == (PASSED, "", 2), record
    measures = record.measures
    assert measures is not None
    assert (measures.schema_before, measures.schema_after) == (318, 331)
    assert (measures.scripts, measures.broken_scripts, measures.unknown_scripts) == (2, ("hook-1",), 0)
    assert measures.peak_bytes > 0
    works = [one.name for one in record.probes if one.passed]
    assert works == ["sign-in", "message", "upload", "sign-in methods"], record.probes
    check_shut_in(site)
    assert site.left() == []

    for number in (1, 2):
        run = {"intendedAt": "2026-11-22", "name": "ana@example.org"}
        site.plant("rocketchat_cron_history", {"_id": f"run-{number}", **run})
    site.next_night()
    record = site.rehearse(site.propose())
    assert record.state == FAILED
    assert "duplicate keys: rocketchat.rocketchat_cron_history" in record.problem
    assert "ana@example.org" not in repr(record)
    assert site.left() == []

    site.plant("migrations", {"_id": "control", "version": 318, "locked": True})
    site.next_night()
    record = site.rehearse(site.propose())
    assert record.state == FAILED
    assert "migrations.control is locked" in record.problem
    assert site.left() == []
    check_rights(site)


def check_shut_in(site: Site) -> None:
    """The policy denies all, settings were blanked before the start, the environment holds them down."""
    (policy,) = site.server.cluster.list("NetworkPolicy", NAMESPACE)
    assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    settings, environment = site.stage.settings[-1], site.stage.environments[-1]
    expected = {one.id: one.value for one in SETTINGS}
    assert {name: settings[name] for name in ("SMTP_Host", "Push_enable")} == {
        name: expected[name] for name in ("SMTP_Host", "Push_enable")
    }
    assert settings["Accounts_OAuth_Custom-Keycloak"] is True
    assert environment["OVERWRITE_SETTING_SMTP_Host"] == "127.0.0.1"
    outside = [value for name, value in environment.items() if "://" in value and name != "ROOT_URL"]
    assert all("127.0.0.1" in value for value in outside), outside


def check_rights(site: Site) -> None:
    """Every right of the file is used, and none is missing."""
    asked = {
        (request.group, request.resource, request.verb)
        for request in site.server.requests
        if "serviceaccount" in request.user and request.resource not in ("selfsubjectaccessreviews", "")
    }
    granted = {
        (group, resource, verb)
        for role in rights()
        if role["kind"] in ("Role", "ClusterRole")
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    # Since Kubernetes 1.35 a forward needs to create, too.
    assert granted - asked == {("", "pods/portforward", "create")}
    assert asked - granted == set()
    assert {request.code for request in site.server.requests if request.code == 403} == set()
    listed = {(right.group, right.resource, right.verb) for right in list_drill_rights(NAMESPACE)}
    assert listed == granted - {("metrics.k8s.io", "nodes", "list")}
