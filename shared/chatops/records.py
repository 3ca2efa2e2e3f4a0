"""What became of each delivery, as blobs under `deliveries/chat/`: answered once, even if it comes twice."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.chatops.model import ChatRequest
from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import AlreadyExists, Corrupt
from shared.kernel.ports import Blobs, Clock
from shared.kernel.timestamps import parse_timestamp

log = logging.getLogger(__name__)

_PREFIX = "deliveries/chat/"
# Far longer than any platform accepts a message after it was sent, so that a forgotten one cannot come again.
_RETENTION = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """One delivery: who asked for what, and the answer once there is one.

    `changing` is set right before something is changed: with it and without an answer, a worker died there.
    """

    key: str
    accounts: tuple[str, ...]
    room: str
    text: str
    begun: datetime
    changing: bool = False
    answer: str = ""
    outcome: str = ""
    posted: bool = False


def delivery_key(request: ChatRequest) -> str:
    """The delivery's name: by platform, since two platforms may use the same ids."""
    return hashlib.sha256(f"{request.platform}:{request.delivery}".encode()).hexdigest()[:32]


class ChatDeliveries:
    """The deliveries in the container `groundcrew`."""

    def __init__(self, blobs: Blobs, clock: Clock) -> None:
        self._blobs, self._clock = blobs, clock

    def claim(self, request: ChatRequest) -> DeliveryRecord:
        """The record of this delivery, new or as an earlier attempt left it. Raises Corrupt."""
        record = DeliveryRecord(
            delivery_key(request), request.accounts, request.room, request.text, self._clock.now()
        )
        try:
            self._blobs.create(_blob_name(record.key), encode_json(record))
        except AlreadyExists:  # a repetition, or a worker that died: its record says how far it came
            return self.load(record.key)
        return record

    def save(self, record: DeliveryRecord) -> DeliveryRecord:
        """Write over what was there: the caller has the delivery's lease."""
        self._blobs.replace(_blob_name(record.key), encode_json(record), etag=None)
        return record

    def load(self, key: str) -> DeliveryRecord:
        """Raises NotFound, Corrupt."""
        name = _blob_name(key)
        fields = decode_json(self._blobs.read(name)[0], name)
        try:
            fields |= {"accounts": tuple(fields["accounts"]), "begun": parse_timestamp(fields["begun"])}
            return DeliveryRecord(**fields)
        except (ValueError, TypeError, KeyError) as error:
            raise Corrupt(f"{name} is not a delivery", value=type(error).__name__) from error

    def remove_expired(self) -> str:
        """Delete the records of deliveries that nobody accepts any more; what was done, in a sentence."""
        # By the storage's time: what a record says of itself could keep it for ever.
        old = [
            blob.name
            for blob in self._blobs.list(_PREFIX)
            if self._clock.now() - blob.last_modified > _RETENTION
        ]
        for name in old:
            self._blobs.delete(name)
        if old:
            log.info("chatops.deliveries_removed", extra={"prefix": _PREFIX, "count": len(old)})
        return f"removed {len(old)} records of chat commands"


def _blob_name(key: str) -> str:
    return f"{_PREFIX}{key}.json"
