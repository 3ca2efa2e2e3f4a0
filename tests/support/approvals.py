"""Approvals under keys that are made for this run: the app's, and those of a laptop that has none."""

from __future__ import annotations

from shared.formats.manifest import Signer
from shared.kernel.ports import Blobs, Clock
from shared.records.approval_keys import ApprovalKeys
from shared.records.approvals import Approvals
from shared.records.people import PeopleDirectory

SIGNER = Signer.generate()
APP_KEYS = ApprovalKeys(SIGNER, (SIGNER.public_text(),))
LAPTOP_KEYS = ApprovalKeys(None, (SIGNER.public_text(),))


def make_approvals(
    state: Blobs, clock: Clock, people: PeopleDirectory | None = None, keys: ApprovalKeys = APP_KEYS
) -> Approvals:
    """Approvals as the app has them."""
    return Approvals(state, clock, keys, people)
