"""The app in its host with GitHub, a cluster and a chat beside it, once for all tests of this folder.

The cluster is the stand-in, or the real one of GROUNDCREW_TEST_KUBECONFIG, whose Deployment the chat's own
pages follow.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from local.azurite import EmulatedAccount
from local.deploy_demo import Site, wait_for_deploy
from local.helm import ensure_helm
from local.rocketchat.seed import seed_database
from local.stack import ROOT, Stack
from shared.deploy.records.deploy_record import DeployRecord
from shared.kernel.errors import GroundcrewError
from tests.support.clusters import open_cluster
from tests.support.commands import run_groundcrew


@dataclass
class Place:
    """The running app, and everything around it."""

    stack: Stack
    site: Site

    @property
    def endpoint(self) -> str:
        return f"{self.stack.host.url}/api/github/webhook"

    def ship(self, version: str, greeting: str, **more: Any) -> DeployRecord:
        """Merge a change and see how its deploy ends."""
        return wait_for_deploy(
            self.stack, self.site.merge(self.stack.host.url, self.site.propose(version, greeting, **more))
        )

    def cli(self, *arguments: str, code: int = 0) -> Any:
        """The command line's answer; `code` is the exit code it must have."""
        done = run_groundcrew(*arguments, env={**os.environ, **self.stack.settings})
        assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        if "--json" not in arguments:
            return done.stdout + done.stderr
        return json.loads(done.stdout) if done.stdout else done.stderr


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, take_account: Callable[[], EmulatedAccount]
) -> Iterator[Place]:
    try:
        ensure_helm()
    except GroundcrewError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("deploy")
    with Site(folder / "site", open_cluster=open_cluster) as site:
        policy = site.policy((ROOT / "policy.yaml").read_text())
        settings = dict(site.settings)
        with Stack(folder / "stack", policy=policy, storage=take_account(), environment=settings) as stack:
            seed_database(stack.mongodb_uri, megabytes="tiny", seed=7)
            yield Place(stack, site)
