"""The daily statistics of a server: counters, dates as strings, big numbers as doubles."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from local.rocketchat.dice import Dice, bson_date, split_words
from local.rocketchat.world import DAY, HOUR, ChatWorld, Document

_COUNTED = split_words("total active online away busy offline federated threaded livechat matrix enterprise")
_COUNTS = split_words(
    "Users Rooms Channels Groups Direct Messages Threads Uploads Teams Integrations Devices"
)


def format_iso(milliseconds: int) -> str:
    """Milliseconds since 1970 as the string that Rocket.Chat stores where it does not store a date."""
    return (
        datetime.fromtimestamp(milliseconds / 1000, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def statistics_documents(world: ChatWorld, seed: int) -> Iterator[Document]:
    """`rocketchat_statistics`, newest first and one a day, without end: about 8 KB of counters each."""
    dice = Dice(seed, "statistics")
    names = [f"{group}{what}" for group in _COUNTED for what in _COUNTS]
    at = world.now
    while True:
        document: Document = {name: dice.draw_below(100_000) for name in names}
        document |= {
            "_id": dice.make_object_id(),
            "uniqueId": "kX8hJmZ3vTqLw5RcY",
            "version": "7.10.2",
            "installedAt": format_iso(world.start),
            "lastLogin": format_iso(at - dice.draw_below(DAY)),
            "lastMessageSentAt": bson_date(at - dice.draw_below(HOUR)),
            "os": _os_facts(dice),
            "process": {"nodeVersion": "v22.16.0", "pid": 1, "uptime": dice.random() * 1e6},
            "deploy": {"method": "helm", "platform": "selfinstall"},
            "mongoVersion": "8.0.12",
            "mongoStorageEngine": "wiredTiger",
            "uploadsTotalSize": float(dice.draw_below(5_000_000_000)),
            "avgUploadSize": dice.random() * 500_000,
            "apps": {"engineVersion": "1.55.0", "totalInstalled": 3, "totalFailed": False},
            "createdAt": bson_date(at),
            "_updatedAt": bson_date(at),
        }
        yield document
        at -= DAY


def _os_facts(dice: Dice) -> Document:
    times = ("user", "nice", "sys", "idle", "irq")
    return {
        "type": "Linux",
        "platform": "linux",
        "arch": "x64",
        "release": "6.8.0-1031-azure",
        "uptime": dice.random() * 1e6,
        "loadavg": [dice.random(), dice.random(), dice.random()],
        # Beyond int32 JavaScript's numbers become doubles.
        "totalmem": 16_765_456_384.0,
        "freemem": float(dice.draw_below(8_000_000_000)),
        "cpus": [
            {
                "model": "AMD EPYC 9004",
                "speed": 0,
                "times": {name: float(dice.draw_below(10**9)) for name in times},
            }
            for _ in range(4)
        ],
    }
