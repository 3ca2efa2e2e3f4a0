"""GridFS buckets beside the uploads: avatars, sounds, assets and packages of apps, with their rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bson import ObjectId

from local.rocketchat.dice import Dice, bson_date
from local.rocketchat.files import FileBytes, grid_chunks, grid_file
from local.rocketchat.text import Speaker
from local.rocketchat.world import DAY, ChatWorld, Document


@dataclass(frozen=True, slots=True)
class Stored:
    """A file in a bucket; Rocket.Chat's own stores use strings as ids, other buckets ObjectIds."""

    id: str | ObjectId
    name: str
    type: str
    size_bytes: int
    at: int

    @property
    def file(self) -> Document:
        """The document in `<bucket>.files`."""
        return grid_file(self.id, self.name, self.size_bytes, self.type, self.at)


def file_chunks(stored: list[Stored], seed: int, bucket: str) -> Iterator[Document]:
    """The documents in `<bucket>.chunks`, file by file."""
    content = FileBytes(seed, bucket)
    dice = Dice(seed, f"chunks:{bucket}")
    for file in stored:
        yield from grid_chunks(dice, file.id, content.make(file.type, file.size_bytes))


def upload_files(world: ChatWorld) -> list[Stored]:
    """The files of the uploads; a file is named after its id, the row beside it knows the name."""
    return [Stored(sent.id, sent.id, sent.type, sent.size_bytes, sent.at) for sent in world.uploads]


def avatar_files(world: ChatWorld, seed: int) -> list[Stored]:
    """A small picture of each person."""
    dice = Dice(seed, "avatars")
    return [
        Stored(
            dice.make_id(), person.username, "image/png", dice.lognormal(4000, 0.4, low=900, high=30_000), at
        )
        for at, person in enumerate(world.people, world.start)
    ]


def avatar_rows(world: ChatWorld, stored: list[Stored]) -> Iterator[Document]:
    """`rocketchat_avatars`."""
    for person, picture in zip(world.people, stored, strict=True):
        yield {
            "_id": picture.id,
            "name": person.username,
            "userId": person.id,
            "type": picture.type,
            "size": picture.size_bytes,
            "store": "GridFS:Avatars",
            "complete": True,
            "uploading": False,
            "etag": str(picture.id)[::-1],
            "url": f"https://chat.example/avatar/{person.username}",
            "uploadedAt": bson_date(picture.at),
            "_updatedAt": bson_date(picture.at),
        }


def custom_sounds(world: ChatWorld, seed: int) -> tuple[list[Document], list[Stored]]:
    """`rocketchat_custom_sounds` and their files, told apart by name as the rows' ids are no file ids."""
    dice = Dice(seed, "custom_sounds")
    rows: list[Document] = []
    stored = []
    for name in ("Glöckchen", "gong", "whistle"):
        sound_id = dice.make_id()
        rows.append({"_id": sound_id, "name": name, "extension": "mp3", "_updatedAt": bson_date(world.start)})
        size = dice.draw_between(8_000, 20_000)
        stored.append(Stored(ObjectId(dice.bytes(12)), f"{sound_id}.mp3", "audio/mpeg", size, world.start))
    return rows, stored


def asset_files(world: ChatWorld, seed: int) -> list[Stored]:
    """Logos and icons; the settings hold their addresses only."""
    dice = Dice(seed, "assets")
    return [
        Stored(ObjectId(dice.bytes(12)), name, "image/png", dice.draw_between(2_000, 12_000), world.start)
        for name in ("logo", "background", "favicon", "favicon_16", "touchicon_180")
    ]


def app_packages(world: ChatWorld, seed: int) -> tuple[list[Document], list[Stored]]:
    """`rocketchat_apps` with texts in many languages, and the packages their `sourcePath` points at."""
    dice, speaker = Dice(seed, "apps"), Speaker(seed, "apps")
    rows: list[Document] = []
    stored = []
    for name in ("polls", "reminders", "poké-stickers"):
        package = ObjectId(dice.bytes(12))
        texts = {f"{name}.{speaker.slug(1)}.{number}": speaker.sentence() for number in range(60)}
        rows.append(
            {
                "_id": dice.make_object_id(),
                "info": {
                    "name": name.title(),
                    "nameSlug": name,
                    "version": "1.4.0",
                    "requiredApiVersion": "^1.4.0",
                },
                "status": "manually_enabled",
                "languageContent": dict.fromkeys(("en", "de", "pt-BR"), texts),
                "settings": {"limit": {"id": "limit", "value": 5, "packageValue": 5, "required": False}},
                "implemented": {"IPostMessageSent": True, "ISlashCommand": True},
                "sourcePath": f"GridFS:/{package}",
                "signature": speaker.dice.make_object_id(),
                "createdAt": bson_date(world.start + DAY),
                "_updatedAt": bson_date(world.start + DAY),
            }
        )
        size = dice.draw_between(15_000, 60_000)
        stored.append(Stored(package, f"{name}-1.4.0.package", "application/zip", size, world.start + DAY))
    return rows, stored
