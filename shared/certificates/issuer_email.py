"""The address of ACME accounts: changed on ClusterIssuers by plan, with a second person's approval.

cert-manager updates the account when the address changes, and issues nothing anew. Whoever the authority
writes to hears of a revoked account, so one person alone does not redirect it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from shared.certificates.deps import CertificateDeps
from shared.certificates.model import AcmeIssuer
from shared.certificates.renew import require_cluster
from shared.kernel.errors import Refused, UsageError
from shared.records.approvals import Approval, describe_how_to_approve
from shared.records.audit import AuditTrail

ACTION = "certs.issuer-email"
_APPROVAL_LASTS = timedelta(hours=24)
_ADDRESS = re.compile(r"[A-Za-z0-9._%+-]{1,64}@(?=.{1,253}$)([A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class IssuerEmailChange:
    """One issuer whose account gets another address."""

    issuer: AcmeIssuer
    email: str

    @property
    def arguments(self) -> Mapping[str, str]:
        """What an approval is bound to: the issuer as it was read, and the new address."""
        one = self.issuer
        return {
            "issuer": one.name,
            "server": one.server,
            "from": one.email,
            "to": self.email,
            # The resource version: an issuer that was changed after the approval is another one.
            "version": one.version,
        }

    def __str__(self) -> str:
        return (
            f"{self.issuer.name} ({self.issuer.server}): {self.issuer.email or 'no address'} -> {self.email}"
        )


def plan_issuer_email(deps: CertificateDeps, email: str) -> list[IssuerEmailChange]:
    """The issuers that have another address, by name. Changes nothing. Raises UsageError."""
    if not _ADDRESS.fullmatch(email):
        raise UsageError("not an e-mail address", value=email[:100], hint="Write it as oncall@example.org.")
    issuers = require_cluster(deps).list_acme_issuers()
    return [IssuerEmailChange(one, email) for one in issuers if one.email != email]


def change_issuer_email(deps: CertificateDeps, change: IssuerEmailChange, *, by: str) -> str:
    """Change one, with an approval of exactly this; what was done, in a sentence.

    Raises Refused without an approval, which is requested then; `Conflict` if the issuer was changed since.
    """
    approvals = deps.approvals()
    approval = approvals.consume_approval(ACTION, change.arguments)
    if approval is None:
        raise _refuse(
            approvals.request_approval(ACTION, change.arguments, by=by, lasting=_APPROVAL_LASTS), change
        )
    require_cluster(deps).set_issuer_email(change.issuer, change.email)
    outcome = f"changed; requested by {approval.requester}, approved by {approval.approver}"
    AuditTrail(deps.state, deps.clock).append(by, ACTION, str(change), outcome)
    return f"{change}: changed"


def _refuse(approval: Approval, change: IssuerEmailChange) -> Refused:
    hint = f"{describe_how_to_approve(approval.id)}; then run this again."
    return Refused("this needs a second person's approval", value=change, hint=hint)
