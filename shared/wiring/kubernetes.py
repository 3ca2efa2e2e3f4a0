"""The wiring of the cluster's API."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from shared.kernel.errors import UsageError
from shared.settings import definitions
from shared.settings.environment import read_environment
from shared.wiring import load_policy

if TYPE_CHECKING:
    from shared.kernel.secret import Secret
    from shared.kubernetes.ports import Cluster


@cache
def read_kubeconfig() -> Secret:
    """The kubeconfig's content. Raises UsageError, quoting nothing of it."""
    from shared.kernel.secret import Secret

    setting = read_environment().get(definitions.KUBECONFIG)
    # Not the file in the home folder, as kubectl does: a laptop's own cluster would be deployed to by
    # mistake.
    if not setting:
        raise UsageError(
            f"{definitions.KUBECONFIG.name} is not set", hint=f"For example: {definitions.KUBECONFIG.example}"
        )
    # A file's name has no line break, and a kubeconfig in JSON begins with a brace.
    if "\n" in setting or setting.startswith("{"):
        return Secret(setting)
    try:
        # Read once: a rotated kubeconfig is taken by the next process, as every other setting is.
        return Secret(Path(setting).read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"{definitions.KUBECONFIG.name} names no readable file", value=type(error).__name__
        ) from None


@cache
def connect_cluster() -> Cluster:
    """The namespace that policy names. Raises UsageError."""
    from shared.adapters.kubernetes.cluster import connect

    rules = load_policy().deploy
    return connect(read_kubeconfig(), rules.namespace, rules.prometheus)
