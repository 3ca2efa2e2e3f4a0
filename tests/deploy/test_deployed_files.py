"""The values files that a backup takes along are those that are deployed, not those of today's branch."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from local.fakes.blobs import MemoryBlobs
from local.fakes.clock import ManualClock
from local.fakes.forge import MemoryForge
from local.github.model import Repository
from shared.deploy.chart.deployed_files import read_deployed_files
from shared.deploy.records.deployed import DeployedLedger
from shared.kernel.errors import NotFound
from shared.policy.deploy import DeployPolicy

NOW = datetime(2026, 11, 23, 1, tzinfo=UTC)
VALUES = "values-production.yaml"
POLICY = DeployPolicy(
    repository="acme/chat", chart="chart", values=(VALUES,), environments=("staging", "production")
)


@pytest.fixture
def repository() -> Repository:
    made = Repository("acme/chat")
    made.commit({"chart/Chart.yaml": b"name: chat\n", "values-production.yaml": b"replicaCount: 2\n"})
    return made


@pytest.fixture
def ledger() -> DeployedLedger:
    return DeployedLedger(MemoryBlobs(ManualClock(NOW)))


def test_the_files_of_the_deployed_commit_are_read_whatever_the_branch_is_at(
    repository: Repository, ledger: DeployedLedger
) -> None:
    deployed = repository.branches["main"]
    ledger.record_deploy("production", deployed, 3, "7.10.0", NOW)
    ledger.record_deploy(
        "staging", repository.commit({"values-production.yaml": b"replicaCount: 9\n"}), 4, "8", NOW
    )
    files = read_deployed_files(POLICY, ledger, lambda: MemoryForge(repository))
    assert [(one.path, one.text, one.commit, one.repository) for one in files] == [
        ("chart/Chart.yaml", "name: chat\n", deployed, "acme/chat"),
        ("values-production.yaml", "replicaCount: 2\n", deployed, "acme/chat"),
    ]


def test_what_was_never_deployed_or_is_not_there_is_said(
    repository: Repository, ledger: DeployedLedger
) -> None:
    with pytest.raises(NotFound, match="no deploy is on record: production"):
        read_deployed_files(POLICY, ledger, lambda: MemoryForge(repository))
    sha = repository.commit({"values-production.yaml": None})
    ledger.record_deploy("production", sha, 3, "7.10.0", NOW)
    with pytest.raises(NotFound, match=r"values-production\.yaml"):
        read_deployed_files(POLICY, ledger, lambda: MemoryForge(repository))


def test_where_deploys_are_off_nothing_is_asked_for(ledger: DeployedLedger) -> None:
    def connect() -> MemoryForge:
        raise AssertionError("nobody should ask")

    assert read_deployed_files(DeployPolicy(), ledger, connect) == []
