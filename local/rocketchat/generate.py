"""The whole database as raw BSON, collection by collection, for the seeder and for benchmarks.

The mix of a large size, in bytes: messages 55 %, uploaded files 25 %, avatars 1 %, the rest histories
(webhooks, previews, sessions, runs of jobs), subscriptions, rooms and people. A fixed part of about 1 MB
(settings, permissions, files of awkward sizes, odd values) is the same at any size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from bson import encode

from local.rocketchat import buckets, catalog, counters, oddities, operations, people, settings
from local.rocketchat.files import plan_uploads, upload_row
from local.rocketchat.messages import Messenger
from local.rocketchat.world import DAY, NOW, ChatWorld, Document, build_world

MEGABYTE = 1_000_000
BATCH_BYTES = 8 * MEGABYTE

# Parts of the whole; messages take what is left.
SHARES = {
    "rocketchat_uploads.chunks": 0.25,
    "rocketchat_integration_history": 0.04,
    "rocketchat_oembed_cache": 0.04,
    "rocketchat_sessions": 0.02,
    "rocketchat_message_read_receipt": 0.015,
    "rocketchat__trash": 0.015,
    "rocketchat_cron_history": 0.01,
    "rocketchat_statistics": 0.01,
    "rocketchat_analytics": 0.01,
    "rocketchat_federation_events": 0.01,
}
_SUBSCRIPTION_BYTES, _ROOM_BYTES = 440, 1_300

Part = tuple[str, Iterator[bytes]]


class Rocketchat:
    """A database of about `megabytes` (10^6 bytes of BSON), to be iterated once: collections, raw documents.

    `largest` adds a document of 16 MiB, the limit, on top. Each part must be used up before the next is
    asked for: rooms carry what the messages before them added up to. No clock is read: equal arguments give
    equal bytes.
    """

    def __init__(
        self, megabytes: float, seed: int = 1, *, now: datetime = NOW, largest: bool = False
    ) -> None:
        self.seed, self._largest = seed, largest
        self._total = int(megabytes * MEGABYTE)
        self._made = 0
        users = max(9, min(3_000, int(8 + megabytes * 1.4)))
        self.world = build_world(seed, users, now)
        self._spare = build_world(seed, users, now)

    def __iter__(self) -> Iterator[Part]:
        for name, documents in self._list_parts():
            yield name, self._count_bytes(documents)

    def _count_bytes(self, documents: Iterable[bytes]) -> Iterator[bytes]:
        for document in documents:
            self._made += len(document)
            yield document

    def _list_parts(self) -> Iterator[tuple[str, Iterable[bytes]]]:
        world, seed = self.world, self.seed
        yield from self._small_collections(world, seed)
        yield from self._file_collections(world, seed)
        yield from self._history_collections(world, seed)
        yield "rocketchat_message", self._message_collections()
        yield "rocketchat_room", map(encode, people.room_documents(world, seed))
        yield "rocketchat_subscription", map(encode, people.subscription_documents(world, seed))
        # Last, as it is no part of the size asked for.
        yield "rocketchat_raw_imports", oddities.raw_imports(world, seed, largest=self._largest)

    def _small_collections(self, world: ChatWorld, seed: int) -> Iterator[tuple[str, Iterable[bytes]]]:
        yield "users", map(encode, people.user_documents(world, seed))
        yield "usersSessions", map(encode, people.users_sessions(world, seed))
        yield "instances", map(encode, people.instance_documents(world))
        yield "migrations", map(encode, operations.migration_documents(world))
        yield "rocketchat_settings", map(encode, settings.setting_documents(world, seed))
        yield "rocketchat_permissions", map(encode, settings.permission_documents(world, seed))
        yield "rocketchat_roles", map(encode, settings.role_documents(world))
        yield "rocketchat_cron", map(encode, operations.cron_documents(world, seed))
        yield "rocketchat_integrations", map(encode, operations.integration_documents(world, seed))
        yield catalog.ODD_TYPES, oddities.every_type()
        yield catalog.ODD_IDS, map(encode, oddities.every_id(seed))
        for name in (catalog.ODD_CAPPED, catalog.ODD_VALIDATED, catalog.ODD_COLLATED, catalog.ODD_NAME):
            yield name, map(encode, oddities.plain_rows(seed, name, 30))

    def _file_collections(self, world: ChatWorld, seed: int) -> Iterator[tuple[str, Iterable[bytes]]]:
        world.uploads = plan_uploads(world, seed, int(self._total * SHARES["rocketchat_uploads.chunks"]))
        sound_rows, sounds = buckets.custom_sounds(world, seed)
        app_rows, packages = buckets.app_packages(world, seed)
        avatars = buckets.avatar_files(world, seed)
        yield "rocketchat_uploads", (encode(upload_row(upload, world)) for upload in world.uploads)
        yield "rocketchat_avatars", map(encode, buckets.avatar_rows(world, avatars))
        yield "rocketchat_custom_sounds", map(encode, sound_rows)
        yield "rocketchat_apps", map(encode, app_rows)
        for bucket, stored in (
            ("rocketchat_uploads", buckets.upload_files(world)),
            ("rocketchat_avatars", avatars),
            ("custom_sounds", sounds),
            ("assets", buckets.asset_files(world, seed)),
            ("rocketchat_apps_packages", packages),
        ):
            yield f"{bucket}.files", [encode(file.file) for file in stored]
            yield f"{bucket}.chunks", map(encode, buckets.file_chunks(stored, seed, bucket))

    def _history_collections(self, world: ChatWorld, seed: int) -> Iterator[tuple[str, Iterable[bytes]]]:
        endless = {
            "rocketchat_integration_history": operations.integration_history(world, seed),
            "rocketchat_oembed_cache": operations.oembed_cache(world, seed),
            "rocketchat_sessions": operations.session_documents(world, seed),
            "rocketchat_message_read_receipt": operations.read_receipts(world, seed),
            "rocketchat__trash": oddities.trash_documents(self._spare, seed),
            "rocketchat_cron_history": operations.cron_history(world, seed),
            "rocketchat_statistics": counters.statistics_documents(world, seed),
            "rocketchat_analytics": operations.analytics_documents(world, seed),
            "rocketchat_federation_events": oddities.federation_events(world, seed),
        }
        for name, documents in endless.items():
            yield name, _fill_budget(documents, int(self._total * SHARES[name]))

    def _message_collections(self) -> Iterator[bytes]:
        world = self.world
        still_to_come = _ROOM_BYTES * len(world.rooms)
        still_to_come += _SUBSCRIPTION_BYTES * sum(len(room.members) for room in world.rooms)
        budget = max(self._total - self._made - still_to_come, self._total // 8)
        messenger = Messenger(world, self.seed)
        size, span = 0, 395 * DAY
        while size < budget:
            for document in messenger.burst(world.start + span * size // budget):
                raw = encode(document)
                size += len(raw)
                yield raw
        # Files sent after the last burst are shown all the same.
        yield from map(encode, messenger.rest())


def _fill_budget(documents: Iterable[Document], budget: int) -> Iterator[bytes]:
    """Documents until the budget is used up, three at least."""
    for number, document in enumerate(documents):
        raw = encode(document)
        if budget <= 0 and number >= 3:
            return
        budget -= len(raw)
        yield raw


def generate_batches(
    megabytes: float,
    seed: int = 1,
    *,
    now: datetime = NOW,
    largest: bool = False,
    batch_bytes: int = BATCH_BYTES,
) -> Iterator[tuple[str, bytes]]:
    """Collection and concatenated raw documents, at most `batch_bytes` or a single larger document."""
    for name, documents in Rocketchat(megabytes, seed, now=now, largest=largest):
        batch: list[bytes] = []
        size = 0
        for document in documents:
            if batch and size + len(document) > batch_bytes:
                yield name, b"".join(batch)
                batch, size = [], 0
            batch.append(document)
            size += len(document)
        if batch:
            yield name, b"".join(batch)
