"""The chart's head and the values files at the commit that is deployed, for whoever has to bring it back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from shared.deploy.ports.forge import Forge
from shared.deploy.records.deployed import DeployedLedger
from shared.formats.cluster_state import RepositoryFile
from shared.formats.tarball import read_files
from shared.kernel.errors import NotFound

if TYPE_CHECKING:
    from shared.policy.deploy import DeployPolicy


def read_deployed_files(
    policy: DeployPolicy, ledger: DeployedLedger, connect: Callable[[], Forge]
) -> list[RepositoryFile]:
    """As they stand in the repository, encrypted if they are so there; none where deploys are off.

    Raises NotFound if nothing is on record as deployed, or the commit lacks a file, and what the forge
    refuses with.
    """
    if not policy.repository:
        return []
    # The last environment is the one that people use.
    sha = ledger.read(policy.environments[-1]).sha
    if not sha:
        raise NotFound("no deploy is on record", value=policy.environments[-1])
    paths = [f"{policy.chart}/Chart.yaml".removeprefix("./"), *policy.values]
    files = read_files(connect().download_tarball(sha), paths, sha=sha)
    if missing := [path for path in paths if path not in files]:
        raise NotFound("the deployed commit does not have it", value=f"{sha[:12]} {missing[0]}")
    return [
        RepositoryFile(policy.repository, sha, path, files[path].decode(errors="replace")) for path in paths
    ]
