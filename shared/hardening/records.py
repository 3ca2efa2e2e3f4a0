"""What the last audit found, in one blob: for the next one, which tells what changed, and for the status."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from shared.hardening.model import AuditVerdict, HardeningFinding, RuleSeverity
from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import Corrupt, NotFound
from shared.kernel.ports import Blobs
from shared.kernel.timestamps import parse_timestamp

log = logging.getLogger(__name__)

# One blob that is written over: what was found earlier is in the messages and in the audit trail.
_BLOB = "hardening/last.json"


@dataclass(frozen=True, slots=True)
class HardeningAudit:
    """One audit; `drifted` are the findings that were met the time before and are not now."""

    at: datetime  # when it looked
    findings: tuple[HardeningFinding, ...]
    drifted: tuple[str, ...] = ()

    @property
    def by_id(self) -> Mapping[str, HardeningFinding]:
        """The findings by their ids."""
        return {finding.id: finding for finding in self.findings}

    @property
    def open(self) -> tuple[HardeningFinding, ...]:
        """Those that somebody has to look at, the worst first."""
        order = [RuleSeverity.CRITICAL, RuleSeverity.WARNING, RuleSeverity.INFO]
        open_findings = (finding for finding in self.findings if finding.is_open)
        return tuple(sorted(open_findings, key=lambda one: (order.index(one.severity), one.id)))


def load_last_audit(state: Blobs) -> HardeningAudit | None:
    """The last audit; None before the first, and if the record cannot be read, which is logged."""
    try:
        fields = decode_json(state.read(_BLOB)[0], _BLOB)
        findings = tuple(
            HardeningFinding(
                **{
                    **item,
                    "verdict": AuditVerdict(item["verdict"]),
                    "severity": RuleSeverity(item["severity"]),
                }
            )
            for item in fields["findings"]
        )
        return HardeningAudit(parse_timestamp(fields["at"]), findings, tuple(map(str, fields["drifted"])))
    except NotFound:
        return None
    except (Corrupt, ValueError, TypeError, KeyError) as error:
        log.warning("hardening.record_unreadable", extra={"blob": _BLOB, "error": type(error).__name__})
        return None


def save_audit(state: Blobs, audit: HardeningAudit) -> None:
    """Write over the audit before."""
    state.replace(_BLOB, encode_json(asdict(audit)), etag=None)
