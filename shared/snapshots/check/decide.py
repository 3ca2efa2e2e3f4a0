"""The check of a snapshot: a disk is made of it, looked at and removed again. What it is called and costs.

It proves that Azure can make a whole disk of the snapshot. What is on the disk is not read: that the data
is good is what the restore drill proves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256

from shared.cloud.billing import MONTH_HOURS, to_hours
from shared.cloud.tags import drop_tag, fold_tags, set_tag
from shared.kernel.timestamps import format_compact
from shared.snapshots.decide import EXPIRES_TAG, OWNER_TAG, PROVEN_TAG, parse_retained_until

CHECK_TAG = "groundcrew-check"  # on the disk; its value is the snapshot's name
SKU = "Standard_LRS"  # the cheapest; the disk is never read
LIFETIME = timedelta(hours=2)  # after which a disk that was forgotten is removed
_MINUTE = "%Y-%m-%dT%H:%MZ"


def check_disk_name(snapshot_id: str, now: datetime) -> str:
    """The name of the disk of a check that begins now."""
    digest = sha256(snapshot_id.lower().encode()).hexdigest()[:8]
    return f"check-{digest}-{format_compact(now)}"


def check_disk_id(snapshot_id: str, name: str) -> str:
    """The id of the disk of that name beside the snapshot, for when no answer told it."""
    return f"{snapshot_id.lower().rpartition('/snapshots/')[0]}/disks/{name.lower()}"


def check_disk_tags(snapshot: str, now: datetime, *, owner: str) -> dict[str, str]:
    """What the disk carries from its first moment on, so that it can be removed without further knowledge."""
    return {
        OWNER_TAG: owner,
        CHECK_TAG: snapshot[:256],
        EXPIRES_TAG: (now + LIFETIME).astimezone(UTC).strftime(_MINUTE),
    }


def is_expired_test_disk(tags: Mapping[str, str], attached_to: str, now: datetime, *, owner: str) -> bool:
    """Whether a disk was made for a check that is over; one that somebody attached is in use."""
    tags = fold_tags(tags)
    # All three: a tag alone can be copied to a disk that holds something.
    if attached_to or CHECK_TAG not in tags or tags.get(OWNER_TAG) != owner:
        return False
    expires = parse_retained_until(tags.get(EXPIRES_TAG, ""))
    return expires is not None and expires <= now


def snapshot_tags_after(tags: Mapping[str, str], now: datetime, *, proven: bool) -> dict[str, str]:
    """The snapshot's tags after the check: proven since now, or not proven any more."""
    if proven:
        return set_tag(tags, PROVEN_TAG, now.astimezone(UTC).strftime(_MINUTE))
    return drop_tag(tags, PROVEN_TAG)


def find_disk_faults(
    *, size_gb: int, expected_gb: int, source: str, expected_source: str, provisioned: bool
) -> Iterator[str]:
    """A sentence for each way in which the disk is not what the snapshot promised."""
    if not provisioned:
        yield "the disk was not provisioned"
    if size_gb != expected_gb:
        yield f"the disk has {size_gb} GB instead of {expected_gb} GB"
    if source.lower() != expected_source.lower():
        yield f"the disk was made of {source or 'nothing'}"


def max_cost(monthly: Decimal) -> Decimal:
    """What the disk costs at most, by its price for a month of 730 hours."""
    return monthly * to_hours(LIFETIME) / MONTH_HOURS
