"""Looks at everything, each place by itself: one that cannot be read hides no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from shared.certificates.deps import CertificateDeps
from shared.certificates.model import (
    BlindSpot,
    CertificateEntry,
    ExpiringItem,
    HostTarget,
    ManagedCertificate,
    ObservedCertificates,
    ServedChain,
    SourceKind,
    TlsSecret,
    TokenSecret,
)
from shared.certificates.ports import CertificateCluster
from shared.kernel.errors import GroundcrewError

T = TypeVar("T")
_MAX_HOSTS = 100  # of Ingresses, which anybody with a namespace may write
_AT_ONCE = 8


class CertificateObserver:
    """Gathers one scan; what could not be read is kept as a blind spot."""

    def __init__(self, deps: CertificateDeps, previous: Iterable[CertificateEntry]) -> None:
        self._deps = deps
        self._known_hosts = [one.name for one in previous if one.kind is SourceKind.HOST]
        self._blind: list[BlindSpot] = []

    def observe(self) -> ObservedCertificates:
        """All of it. Raises nothing of ours."""
        items, targets = self._vaults(), list(self._deps.hosts)
        secrets: list[TlsSecret] = []
        managed: list[ManagedCertificate] = []
        tokens: list[TokenSecret] = []
        if self._deps.credentials is not None:
            credentials = self._try(SourceKind.KUBECONFIG, "*", self._deps.credentials)
            items += credentials.items if credentials else ()
            targets += [credentials.server] if credentials and credentials.server else []
        if self._deps.cluster is not None:
            for namespace in self._deps.namespaces:
                self._namespace(self._deps.cluster, namespace, secrets, managed, targets)
                tokens += self._tokens(self._deps.cluster, namespace)
        served = tuple(self._hosts(_merge_targets(targets)))
        return ObservedCertificates(
            tuple(secrets), tuple(managed), served, tuple(items), tuple(tokens), tuple(self._blind)
        )

    def _tokens(self, cluster: CertificateCluster, namespace: str) -> Sequence[TokenSecret]:
        everything = f"{namespace}/*"
        return self._try(SourceKind.TOKEN, everything, lambda: cluster.list_token_secrets(namespace)) or ()

    def _namespace(
        self,
        cluster: CertificateCluster,
        namespace: str,
        secrets: list[TlsSecret],
        managed: list[ManagedCertificate],
        targets: list[HostTarget],
    ) -> None:
        everything = f"{namespace}/*"
        secrets += self._try(SourceKind.SECRET, everything, lambda: cluster.list_tls_secrets(namespace)) or ()
        managed += (
            self._try(
                SourceKind.CERTIFICATE, everything, lambda: cluster.list_managed_certificates(namespace)
            )
            or ()
        )
        hosts = self._try(
            SourceKind.HOST, f"{namespace}/Ingresses", lambda: cluster.list_ingress_hosts(namespace)
        )
        if hosts is None:  # those of the last scan can be looked at all the same
            # From the record: what is not public stays not to be asked, since `named` is false.
            hosts = [HostTarget(name, named=False) for name in self._known_hosts if ":" not in name]
            hosts = [one for one in hosts if "." in one.host and "/" not in one.host]
        targets += hosts

    def _vaults(self) -> list[ExpiringItem]:
        certificates: list[ExpiringItem] = []
        for name, vault in self._deps.vaults.items():
            items = self._try(SourceKind.VAULT, f"{name}/*", vault.list_certificates) or ()
            certificates += (replace(item, name=f"{name}/{item.name}") for item in items)
        return certificates

    def _hosts(self, targets: Sequence[HostTarget]) -> Iterator[tuple[HostTarget, ServedChain]]:
        """Several at once: a host that hangs is waited for ten seconds, twice."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            shown = pool.map(self._host, targets)
            yield from ((target, chain) for target, chain in zip(targets, shown, strict=True) if chain)

    def _host(self, target: HostTarget) -> ServedChain | None:
        return self._try(SourceKind.HOST, target.name, lambda: self._deps.probe.probe_host(target))

    def _try(self, kind: SourceKind, name: str, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except GroundcrewError as error:
            value = "" if error.value is None else f": {error.value}"
            self._blind.append(BlindSpot(kind, name, f"{error.message}{value}"))
            return None


def _merge_targets(targets: Sequence[HostTarget]) -> list[HostTarget]:
    """Each host once: as settings and policy name it, with the Secret that an Ingress knows."""
    merged: dict[str, HostTarget] = {}
    for target in targets:
        before = merged.get(target.name)
        if before is None:
            merged[target.name] = target
        elif not before.secret:
            merged[target.name] = replace(before, secret=target.secret)
    named = [one for one in merged.values() if one.named]
    # Named ones first: a namespace full of Ingresses must not push the chat out of the scan.
    return [*named, *[one for one in merged.values() if not one.named][:_MAX_HOSTS]]
