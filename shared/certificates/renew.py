"""Renewing one certificate by hand: cert-manager is asked, as `cmctl renew` asks it."""

from __future__ import annotations

from dataclasses import dataclass

from shared.certificates.deps import CertificateDeps
from shared.certificates.model import ManagedCertificate
from shared.certificates.ports import CertificateCluster
from shared.kernel.errors import NotFound, UsageError
from shared.kernel.timestamps import format_minute
from shared.records.audit import AuditTrail


@dataclass(frozen=True, slots=True)
class RenewalPlan:
    """What would be renewed, and what speaks against it."""

    certificate: ManagedCertificate
    notes: tuple[str, ...]

    def __str__(self) -> str:
        end = self.certificate.not_after
        until = f", valid until {format_minute(end)}" if end else ", never issued"
        return "\n".join((f"renew {self.certificate.reference}{until}", *self.notes))


def plan_renewal(deps: CertificateDeps, name: str, namespace: str = "") -> RenewalPlan:
    """The Certificate of that name. Changes nothing. Raises NotFound, UsageError, Unavailable, Refused."""
    cluster = require_cluster(deps)
    namespaces = [namespace] if namespace else deps.namespaces
    known = [one for each in namespaces for one in cluster.list_managed_certificates(each)]
    candidates = [one for one in known if one.name == name]
    if not candidates:
        names = ", ".join(one.reference for one in known) or "none"
        raise NotFound("no such Certificate of cert-manager", value=name, hint=f"There are: {names}.")
    if len(candidates) > 1:
        places = ", ".join(one.namespace for one in candidates)
        raise UsageError(
            "several Certificates have that name", value=name, hint=f"Give --namespace: {places}."
        )
    return RenewalPlan(candidates[0], tuple(_notes(candidates[0])))


def _notes(one: ManagedCertificate) -> list[str]:
    notes = [
        "Let's Encrypt issues five equal certificates a week; the old one serves until the new one is there"
    ]
    if one.issuing:
        notes.append("it is being issued already: nothing would be changed")
    if one.failed_attempts:
        notes.append(f"the last attempt failed: {one.failure or one.reason}")
    return notes


def renew_certificate(deps: CertificateDeps, plan: RenewalPlan, *, by: str) -> str:
    """Ask for a new certificate; what was done, in a sentence. A renewal that is under way is left alone."""
    one = plan.certificate
    begun = require_cluster(deps).trigger_renewal(one.namespace, one.name, deps.clock.now())
    if not begun:
        return f"{one.reference} is being issued already: nothing was changed"
    AuditTrail(deps.state, deps.clock).append(by, "certs.renew", one.reference, "issuance triggered")
    return f"asked cert-manager to issue {one.reference} anew; `groundcrew certs list` shows how it goes"


def require_cluster(deps: CertificateDeps) -> CertificateCluster:
    """Raises UsageError where no kubeconfig is set."""
    if deps.cluster is None:
        raise UsageError("no cluster is set", hint="Set GROUNDCREW_KUBECONFIG; docs/settings.md has it.")
    return deps.cluster
