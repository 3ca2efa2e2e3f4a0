"""Two-person approvals: a request that another person has to approve, as blobs under `approvals/`.

A request's id is the hash of the action, its arguments, the requester and its expiry, so that what was
approved is what is done, and nothing else. Request and approval are signed by the app (`approval_keys`): an
approval that is not counts for nothing, whoever wrote it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import AlreadyExists, Conflict, Corrupt, NotFound, Refused, UsageError
from shared.kernel.ports import Blobs, Clock
from shared.kernel.timestamps import parse_timestamp
from shared.records.approval_keys import ApprovalKeys
from shared.records.people import PeopleDirectory

log = logging.getLogger(__name__)

_PREFIX = "approvals/"
_RETENTION = timedelta(days=90)  # the audit trail keeps who approved what
_ID = re.compile(r"[0-9a-f]{16}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Approval:
    """A request and, once given, its approval."""

    id: str  # 16 hex digits, the hash of what follows down to `expires`
    action: str  # what would be done, such as `rollback`
    arguments: Mapping[str, str]  # to what, exactly
    requester: str
    expires: datetime
    approver: str = ""  # empty until somebody approves
    used: bool = False  # an approval is good for one run
    denied: str = ""  # who said no, or took the request back
    request_signature: str = ""  # of all above down to `expires`; empty if no key was there
    approval_signature: str = ""  # of the same and `approver`

    @property
    def granted(self) -> bool:
        """Whether a second person approved it: never the requester, whatever the blob says."""
        return bool(self.approver) and self.approver != self.requester and not self.denied


class Approvals:
    """Requests and their approvals in the container `groundcrew`.

    `keys` sign and verify. `people` tells whether requester and approver are two people; only who approves
    has to give it.
    """

    def __init__(
        self, blobs: Blobs, clock: Clock, keys: ApprovalKeys, people: PeopleDirectory | None = None
    ) -> None:
        self._blobs, self._clock, self._keys = blobs, clock, keys
        self._people = people or PeopleDirectory()

    def request_approval(
        self, action: str, arguments: Mapping[str, str], *, by: str, lasting: timedelta
    ) -> Approval:
        """Create the request; the same one while it is pending is returned as it is."""
        terms = (action, dict(arguments), by)
        for approval in self._list_pending():
            if (approval.action, dict(approval.arguments), approval.requester) == terms and (
                # Not one that somebody else may have put there: it could never be approved.
                self._keys.signer is None or self.is_signed(approval)
            ):
                return approval
        expires = (self._clock.now() + lasting).replace(microsecond=0)
        approval = Approval(
            _approval_id(action, arguments, by, expires), action, dict(arguments), by, expires
        )
        approval = replace(approval, request_signature=self._keys.sign(_request_fields(approval)))
        try:
            self._blobs.create(_blob_name(approval.id), encode_json(approval))
        except AlreadyExists:  # requested, and perhaps approved, in this very second
            current, etag = self._read(_blob_name(approval.id))
            if self._keys.signer is None or self.is_signed(current):
                return current
            self._blobs.replace(_blob_name(approval.id), encode_json(approval), etag=etag)
        return approval

    def is_signed(self, approval: Approval) -> bool:
        """Whether the app itself wrote the request: else anybody who may write here could have."""
        return self._keys.has_signed(_request_fields(approval), approval.request_signature)

    def approve(self, approval_id: str, *, by: str) -> Approval:
        """Approve a request. Raises NotFound, Corrupt; Refused for its own requester, an account of nobody,
        after its expiry, or if it was denied or done; UsageError where there is no key to sign with."""
        approval, etag = self._read_open(approval_id)
        self._people.require_other_person(approval.requester, by)
        if self._keys.signer is None:
            raise UsageError(
                "an approval has to be signed, and there is no signing key here",
                hint=f"Write `approve {approval.id}` in the chat or at /api/chatops/signed-in.",
            )
        signature = self._keys.sign(_approval_fields(approval, by))
        approved = replace(approval, approver=by, approval_signature=signature)
        self._blobs.replace(_blob_name(approval_id), encode_json(approved), etag=etag)
        return approved

    def deny(self, approval_id: str, *, by: str) -> Approval:
        """Say no, also after an approval: who asked may take it back. Raises NotFound, Refused, Corrupt."""
        approval, etag = self._read_open(approval_id)
        denied = replace(approval, denied=by)
        self._blobs.replace(_blob_name(approval_id), encode_json(denied), etag=etag)
        return denied

    def find(self, approval_id: str) -> Approval:
        """The request of that id, whatever became of it. Raises NotFound, Corrupt."""
        return self._find(approval_id)[0]

    def pending(self) -> list[Approval]:
        """Those that wait for an approval or for being used, by their ids."""
        return self._list_pending()

    def _read_open(self, approval_id: str) -> tuple[Approval, str]:
        """A request about which can still be decided, with its etag. Raises NotFound, Refused, Corrupt."""
        approval, etag = self._find(approval_id)
        if approval.denied:
            raise Refused("the request was denied", value=approval.denied, hint="Request it again.")
        if approval.used:
            raise Refused("the request is done already", value=approval_id)
        if self._clock.now() >= approval.expires:
            raise Refused("the request has expired", value=approval.expires, hint="Request it again.")
        return approval, etag

    def consume_approval(self, action: str, arguments: Mapping[str, str]) -> Approval | None:
        """Use up the approval of exactly this action; None if there is none."""
        for approval in self._list_pending():
            if approval.granted and (approval.action, dict(approval.arguments)) == (action, dict(arguments)):
                current, etag = self._read(_blob_name(approval.id))
                if current.used or not current.granted:  # by another run or person, since the listing
                    continue
                try:
                    self._blobs.replace(
                        _blob_name(approval.id), encode_json(replace(current, used=True)), etag=etag
                    )
                except Conflict:
                    continue
                return approval
        return None

    def find_granted(self, action: str, arguments: Mapping[str, str]) -> Approval | None:
        """The approval of exactly this action, which stays valid until its expiry; None if there is none."""
        for approval in self._list_pending():
            if approval.granted and (approval.action, dict(approval.arguments)) == (action, dict(arguments)):
                return approval
        return None

    def _find(self, approval_id: str) -> tuple[Approval, str]:
        missing = NotFound("there is no such request", value=approval_id[:40])
        if not _ID.fullmatch(approval_id):  # it becomes a blob's name
            raise missing
        try:
            return self._read(_blob_name(approval_id))
        except NotFound as error:
            raise missing from error

    def _list_pending(self) -> list[Approval]:
        """Requests that may still be approved or used. One that cannot be read is skipped and logged."""
        readable: list[Approval] = []
        for blob in self._blobs.list(_PREFIX):
            if self._clock.now() - blob.last_modified > _RETENTION:
                self._blobs.delete(blob.name)
                continue
            try:
                readable.append(self._read(blob.name)[0])
            except (Corrupt, NotFound) as error:
                log.warning("approval.unreadable", extra={"blob": blob.name, "error": str(error)})
        now = self._clock.now()
        return [one for one in readable if not one.used and not one.denied and now < one.expires]

    def _read(self, name: str) -> tuple[Approval, str]:
        data, etag = self._blobs.read(name)
        fields = decode_json(data, name)
        try:
            approval = Approval(**{**fields, "expires": parse_timestamp(fields["expires"])})
        except (ValueError, TypeError, KeyError) as error:
            raise Corrupt(f"{name} is not an approval", value=type(error).__name__) from error
        if (
            approval.id
            != _approval_id(approval.action, approval.arguments, approval.requester, approval.expires)
            or _blob_name(approval.id) != name
        ):
            raise Corrupt(f"{name} was changed after it was requested")
        return self._without_forged_approval(approval), etag

    def _without_forged_approval(self, approval: Approval) -> Approval:
        """As it was requested, if nobody whose key is believed signed that it was approved."""
        if not approval.approver:
            return approval
        if not self._keys.trusted:
            raise UsageError(
                "an approval cannot be verified: no public signing key is set",
                value=approval.id,
                hint="Set GROUNDCREW_TRUSTED_SIGNERS.",
            )
        if self._keys.has_signed(_approval_fields(approval, approval.approver), approval.approval_signature):
            return approval
        log.warning(
            "approval.not_signed", extra={"approval": approval.id, "approver": approval.approver[:100]}
        )
        return replace(approval, approver="", approval_signature="")


def _approval_id(action: str, arguments: Mapping[str, str], requester: str, expires: datetime) -> str:
    hashed = json.dumps([action, dict(sorted(arguments.items())), requester, expires.isoformat()])
    return hashlib.sha256(hashed.encode()).hexdigest()[:16]


def describe_how_to_approve(approval_id: str) -> str:
    """What the second person does, for a hint: the chat has the key that signs, a laptop seldom has."""
    return (
        f"Ask a second person to write `approve {approval_id}` in the chat, or to run: "
        f"groundcrew deploy approve {approval_id}"
    )


def _request_fields(approval: Approval) -> list[object]:
    expires = approval.expires.isoformat()
    return ["request", approval.action, dict(approval.arguments), approval.requester, expires]


def _approval_fields(approval: Approval, approver: str) -> list[object]:
    return ["approval", *_request_fields(approval)[1:], approver]


def _blob_name(approval_id: str) -> str:
    return f"{_PREFIX}{approval_id}.json"
