"""Reads the cluster's state for a backup set. What cannot be read is named, and the rest is read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from shared.cluster_state.decide import (
    TLS_TYPE,
    choose_releases,
    find_issuer_secrets,
    find_missing,
    is_kept,
    order_objects,
    parse_release,
)
from shared.cluster_state.model import (
    CERTIFICATE,
    CLUSTER_ISSUER,
    ISSUER,
    NAMESPACE,
    SECRET,
    StateKind,
    StateScope,
)
from shared.cluster_state.ports import StateCluster
from shared.formats.cluster_state import FORMAT, ClusterState, HelmRelease, RepositoryFile, check_object
from shared.formats.extra_parts import UnreadItem
from shared.kernel.errors import GroundcrewError, NotFound
from shared.kubernetes.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

ReadFiles = Callable[[], Sequence[RepositoryFile]]


def collect_state(
    connect: Callable[[], StateCluster], scope: StateScope, read_files: ReadFiles, *, set_: str, now: datetime
) -> ClusterState:
    """All that can be read; never raises for what cannot, which is in `unread`.

    `set_` is class/id of the backup set, `read_files` the repository's files as they are deployed.
    """
    collector = _Collector(scope)
    version = ""
    with collector.noting("the cluster"):
        cluster = connect()
        # First, so that a server that is away is one line, and a 404 afterwards means what it says.
        version = cluster.read_version()
        collector.read_cluster(cluster)
    files: Sequence[RepositoryFile] = ()
    with collector.noting("the repository's values files"):
        files = read_files()
    return ClusterState(
        format=FORMAT,
        set=set_,
        taken=now,
        kubernetes=version,
        objects=order_objects(collector.objects),
        releases=tuple(collector.releases),
        files=tuple(files),
        unread=tuple(collector.unread),
    )


class _Collector:
    """Gathers objects, and what could not be read."""

    def __init__(self, scope: StateScope) -> None:
        self._scope = scope
        self.objects: list[Manifest] = []
        self.releases: list[HelmRelease] = []
        self.unread: list[UnreadItem] = []

    @contextmanager
    def noting(self, what: str) -> Iterator[None]:
        """A failure becomes a line of `unread`."""
        try:
            yield
        except GroundcrewError as error:
            log.warning("backup.state_unread", extra={"what": what, "error": str(error)})
            self.unread.append(UnreadItem(what, str(error)))
        except Exception as error:  # a bug here must not cost anybody the backup of the database
            log.exception("backup.state_internal_error", extra={"what": what})
            self.unread.append(UnreadItem(what, f"internal error ({type(error).__name__})"))

    def _keep(self, items: Iterable[Manifest]) -> None:
        """For the set; what could not be applied is said to be unknown, rather than spoil the rest."""
        for item in items:
            try:
                check_object(item)
            except ValueError as error:
                self.unread.append(UnreadItem(str(item.get("kind") or "an object"), str(error)))
            else:
                self.objects.append(item)

    def read_cluster(self, cluster: StateCluster) -> None:
        """Everything of the scope."""
        # First: which Secrets of accounts are wanted at the end is in the issuers.
        issuers = self._list_installed(cluster, CLUSTER_ISSUER, "")
        for namespace in self._scope.namespaces:
            self._read_namespace(cluster, namespace)
        self._read_account_secrets(cluster, issuers)

    def _read_namespace(self, cluster: StateCluster, namespace: str) -> None:
        with self.noting(f"Namespace {namespace}"):
            self._keep([cluster.read_object(NAMESPACE, "", namespace)])
        issuers = self._list_installed(cluster, ISSUER, namespace)
        self._list_installed(cluster, CERTIFICATE, namespace)
        with self.noting(f"Secrets and Helm releases of {namespace}"):
            secrets = cluster.list_objects(SECRET, namespace)
            self._take_secrets(namespace, secrets, {n for one in issuers for n in find_issuer_secrets(one)})
            self._take_releases(secrets)

    def _take_secrets(self, namespace: str, secrets: Sequence[Manifest], named: set[str]) -> None:
        """TLS Secrets, those of issuers, and those that policy names; a missing one of these is told."""
        present = [str(one["metadata"]["name"]) for one in secrets]
        for name, secret in zip(present, secrets, strict=True):
            is_wanted = secret.get("type") == TLS_TYPE or name in named
            if is_kept(secret) and (is_wanted or self._scope.wants_secret(namespace, name)):
                self._keep([secret])
        expected = [f"{namespace}/{name}" for name in sorted(named)]
        # What policy names and the cluster lacks is told at the backup: at the restore it would be too late.
        expected += [one for one in self._scope.secrets if one.startswith(f"{namespace}/")]
        for place in find_missing(expected, (f"{namespace}/{name}" for name in present)):
            self.unread.append(UnreadItem(f"Secret {place}", "the cluster does not have it"))

    def _take_releases(self, secrets: Sequence[Manifest]) -> None:
        for secret in choose_releases(secrets):
            with self.noting(f"Helm release {secret['metadata']['name']}"):
                self.releases.append(parse_release(secret))

    def _list_installed(self, cluster: StateCluster, kind: StateKind, namespace: str) -> list[Manifest]:
        """Those to keep; none where the API has no such kind, since cert-manager is not installed."""
        where = f" of {namespace}" if namespace else ""
        items: list[Manifest] = []
        with self.noting(f"{kind.kind}s{where}"):
            try:
                items = [one for one in cluster.list_objects(kind, namespace) if is_kept(one)]
            except NotFound:
                # Not unread: a cluster without cert-manager has nothing of its kinds to lose.
                log.info("backup.state_kind_absent", extra={"kind": kind.kind, "namespace": namespace})
        self._keep(items)
        return items

    def _read_account_secrets(self, cluster: StateCluster, issuers: Sequence[Manifest]) -> None:
        """Of ClusterIssuers; one by one, since in cert-manager's namespace nothing else is ours to read."""
        place = self._scope.issuer_namespace
        for name in sorted({name for issuer in issuers for name in find_issuer_secrets(issuer)}):
            with self.noting(f"Secret {place}/{name}"):
                self._keep([cluster.read_object(SECRET, place, name)])
        # Read one by one: in a namespace that is not listed, the app has the right to these names only.
        outside = [one for one in self._scope.secrets if one.partition("/")[0] not in self._scope.namespaces]
        for pattern in outside:
            namespace, _, name = pattern.partition("/")
            with self.noting(f"Secret {pattern}"):
                self._keep([cluster.read_object(SECRET, namespace, name)])
