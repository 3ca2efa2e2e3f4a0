"""Messages of every kind, in bursts as people talk: the bulk of a Rocket.Chat database."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

from local.rocketchat.dice import Dice, bson_date
from local.rocketchat.text import Markdown, Speaker, paragraph_node, plain_leaf
from local.rocketchat.vocabulary import SHORTCODES
from local.rocketchat.world import (
    DAY,
    MINUTE,
    SECOND,
    TTL_MARGIN,
    ChatMember,
    ChatWorld,
    Document,
    Room,
    Upload,
)

SYSTEM_KINDS = (
    "uj",
    "ul",
    "au",
    "ru",
    "room_changed_topic",
    "r",
    "message_pinned",
    "subscription-role-added",
)
LANGUAGES = ("de", "en", "fr", "pt-BR")


class Messenger:
    """Makes messages and keeps the rooms' counts, `lastMessage` and threads in step with them."""

    def __init__(self, world: ChatWorld, seed: int, purpose: str = "messages") -> None:
        self.world = world
        self.dice = Dice(seed, purpose)
        self.speaker = Speaker(seed, purpose)
        self._markdown = Markdown(self.speaker)
        self._rooms = self.dice.zipf(world.rooms, flat=4.0, power=0.9)
        self._uploads = iter(sorted(world.uploads, key=lambda upload: upload.at))
        self._upload = next(self._uploads, None)
        self._trimmings = self.dice.pick_forever(self._weighted_trimmings())

    def _weighted_trimmings(self) -> list[Callable[[Document, Room], None]]:
        weights: list[tuple[int, Callable[[Document, Room], None]]] = [
            (680, _add_nothing),
            (70, self._add_reaction),
            (60, self._add_mention),
            (40, self._mark_edited),
            (45, self._link_preview),
            (15, self._add_link),
            (30, self._from_bot),
            (20, self._add_quote),
            (12, self._add_star),
            (10, self._add_translation),
            (8, self._encrypt_message),
            (4, self._pin_message),
            (3, self._add_location),
            (3, self._destroy_later),
        ]
        return [trim for weight, trim in weights for _ in range(weight)]

    def burst(self, at: int) -> list[Document]:
        """A few messages in one room from `at` on, the files sent until then, threads with their replies."""
        documents = []
        while self._upload is not None and self._upload.at <= at:
            documents.append(self.file(self._upload))
            self._upload = next(self._uploads, None)
        room = next(self._rooms)
        authors = self.dice.pick_some(room.members, 3)
        for _ in range(self.dice.draw_between(1, 9)):
            at = min(at + self.dice.draw_between(1, 90) * SECOND, self.world.now)
            author = self.dice.pick_one(authors)
            chance = self.dice.random()
            if chance < 0.04:
                documents.append(self.system(room, author, at))
            elif chance < 0.07:
                documents.extend(self.thread(room, author, at))
            else:
                documents.append(self.message(room, author, at))
        return documents

    def rest(self) -> Iterator[Document]:
        """The messages of all files not shown so far."""
        while self._upload is not None:
            yield self.file(self._upload)
            self._upload = next(self._uploads, None)

    def message(self, room: Room, author: ChatMember, at: int) -> Document:
        """An ordinary message with what it may carry."""
        text, tree = self._markdown.message()
        sent = bson_date(at)
        document: Document = {
            "_id": self.dice.make_id(),
            "rid": room.id,
            "msg": text,
            "ts": sent,
            "u": author.u,
            "_updatedAt": sent,
            "urls": [],
            "mentions": [],
            "channels": [],
            "md": tree,
        }
        next(self._trimmings)(document, room)
        return self._add_file(room, document, at)

    def _add_file(self, room: Room, document: Document, at: int) -> Document:
        room.messages += 1
        if at >= room.last_at:
            room.last_at, room.last_message = at, document
        return document

    def system(self, room: Room, author: ChatMember, at: int) -> Document:
        """A message the server writes: somebody joined, left, renamed."""
        kind = self.dice.pick_one(SYSTEM_KINDS)
        text = author.username if kind in ("uj", "ul", "au", "ru") else self.speaker.words(3)
        document: Document = {
            "_id": self.dice.make_id(),
            "t": kind,
            "rid": room.id,
            "ts": bson_date(at),
            "msg": text,
            "u": author.u,
            "groupable": False,
            "_updatedAt": bson_date(at),
        }
        return self._add_file(room, document, at)

    def thread(self, room: Room, author: ChatMember, at: int) -> list[Document]:
        """A parent with its count and last time, then its replies."""
        parent = self.message(room, author, at)
        repliers = self.dice.pick_some(room.members, 5)
        replies = []
        sent = at
        for _ in range(self.dice.lognormal(3, 0.8, low=1, high=60)):
            sent = min(sent + self.dice.draw_between(5, 600) * SECOND, self.world.now)
            reply = self.message(room, self.dice.pick_one(repliers), sent)
            reply["tmid"] = parent["_id"]
            if self.dice.draw_bool(0.1):
                reply["tshow"] = True
            replies.append(reply)
        parent["tcount"] = len(replies)
        parent["tlm"] = bson_date(sent)
        parent["replies"] = list(dict.fromkeys([author.id, *(reply["u"]["_id"] for reply in replies)]))
        return [parent, *replies]

    def file(self, upload: Upload) -> Document:
        """The message that shows an upload."""
        document = self.message(upload.room, upload.person, upload.at)
        link = f"/file-upload/{upload.id}/{upload.name}"
        described = {"_id": upload.id, "name": upload.name, "type": upload.type, "size": upload.size_bytes}
        attachment: Document = {
            "ts": bson_date(0),
            "title": upload.name,
            "title_link": link,
            "title_link_download": True,
            "type": "file",
            "description": "",
        }
        if upload.type.startswith("image/"):
            attachment |= {
                "image_url": link,
                "image_type": upload.type,
                "image_size": upload.size_bytes,
                "image_dimensions": {
                    "width": self.dice.draw_between(64, 3840),
                    "height": self.dice.draw_between(64, 2160),
                },
                "image_preview": base64.b64encode(self.dice.bytes(700)).decode(),
            }
        document |= {"file": described, "files": [described], "attachments": [attachment]}
        return document

    def reactions(self, room: Room) -> Document:
        """Reactions by members of the room; now and then without a name, as old clients left them."""
        made: Document = {}
        for code in self.dice.pick_some(SHORTCODES, self.dice.draw_between(1, 3)):
            members = self.dice.pick_some(room.members, self.dice.draw_between(1, 4))
            names = [None if self.dice.draw_bool(0.02) else person.name for person in members]
            made[code] = {"usernames": [person.username for person in members], "names": names}
        return made

    def _add_reaction(self, document: Document, room: Room) -> None:
        document["reactions"] = self.reactions(room)

    def _add_mention(self, document: Document, room: Room) -> None:
        person = self.dice.pick_one(room.members)
        document["mentions"] = [
            {"_id": person.id, "username": person.username, "name": person.name, "type": "user"}
        ]
        document["msg"] = f"@{person.username} {document['msg']}"
        mention = {"type": "MENTION_USER", "value": plain_leaf(person.username)}
        document["md"] = [paragraph_node(mention, plain_leaf(" ")), *document["md"]]

    def _mark_edited(self, document: Document, room: Room) -> None:  # noqa: ARG002
        document["editedAt"] = bson_date(int(document["ts"]) + self.dice.draw_between(5, 600) * SECOND)
        document["editedBy"] = {"_id": document["u"]["_id"], "username": document["u"]["username"]}

    def _url(self, document: Document) -> str:
        url = f"https://{self.speaker.slug(1)}.example/{self.speaker.slug(3)}?id={self.dice.make_object_id()}"
        document["msg"] = f"{document['msg']} {url}"
        link = {"type": "LINK", "value": {"src": plain_leaf(url), "label": [plain_leaf(url)]}}
        document["md"] = [*document["md"], paragraph_node(link)]
        return url

    def _add_link(self, document: Document, room: Room) -> None:  # noqa: ARG002
        document["urls"] = [{"url": self._url(document), "meta": {}}]

    def _link_preview(self, document: Document, room: Room) -> None:  # noqa: ARG002
        url = self._url(document)
        title, text = self.speaker.sentence(), self.speaker.paragraph(4)
        meta = {
            "pageTitle": title,
            "ogTitle": title,
            "ogDescription": text,
            "description": self.speaker.paragraph(3),
            "ogImage": f"https://cdn.example/{self.dice.make_object_id()}{self.dice.make_object_id()}.png",
            "twitterCard": "summary_large_image",
            "oembedHtml": f'<blockquote class="embed"><p>{self.speaker.paragraph(12)}</p></blockquote>',
        }
        headers = {
            "contentType": "text/html; charset=utf-8",
            "contentLength": str(self.dice.draw_below(200_000)),
        }
        parsed = {
            "host": url.split("/")[2],
            "hash": None,
            "pathname": "/" + url.split("/")[3],
            "protocol": "https:",
        }
        document["urls"] = [
            {"url": url, "meta": meta, "headers": headers, "ignoreParse": False, "parsedUrl": parsed}
        ]

    def _from_bot(self, document: Document, room: Room) -> None:  # noqa: ARG002
        fields = [
            {"short": True, "title": self.speaker.words(1), "value": self.speaker.words(3)}
            for _ in range(self.dice.draw_between(1, 5))
        ]
        attachment = {
            "color": f"#{self.dice.make_object_id()[:6]}",
            "text": self.speaker.paragraph(2),
            "fields": fields,
        }
        document |= {
            "alias": "deploy-bot",
            "bot": {"i": "uG2fWYxkQ9sJpZ7tN"},
            "parseUrls": True,
            "groupable": False,
        }
        document["attachments"] = [attachment]

    def _add_quote(self, document: Document, room: Room) -> None:
        quoted = room.last_message or document
        attachment = {
            "text": quoted["msg"],
            "author_name": quoted["u"]["username"],
            "author_icon": f"/avatar/{quoted['u']['username']}",
            "message_link": f"https://chat.example/channel/{room.name}?msg={quoted['_id']}",
            "attachments": [],
            "ts": quoted["ts"],
        }
        document["attachments"] = [attachment]

    def _add_star(self, document: Document, room: Room) -> None:
        document["starred"] = [{"_id": person.id} for person in self.dice.pick_some(room.members, 2)]

    def _add_translation(self, document: Document, room: Room) -> None:  # noqa: ARG002
        texts = {language: self.speaker.sentence() for language in self.dice.pick_some(LANGUAGES, 2)}
        document |= {"translations": texts, "translationProvider": "libre-translate"}

    def _encrypt_message(self, document: Document, room: Room) -> None:  # noqa: ARG002
        secret = base64.b64encode(self.dice.bytes(self.dice.draw_between(90, 700))).decode()
        document |= {"t": "e2e", "msg": secret, "e2e": "pending", "content": {"algorithm": "rc.v1.aes-sha2"}}
        del document["md"]

    def _pin_message(self, document: Document, room: Room) -> None:  # noqa: ARG002
        document |= {"pinned": True, "pinnedAt": document["ts"], "pinnedBy": document["u"]}

    def _add_location(self, document: Document, room: Room) -> None:  # noqa: ARG002
        where = [self.dice.random() * 360 - 180, self.dice.random() * 180 - 90]
        document["location"] = {"type": "Point", "coordinates": where}

    def _destroy_later(self, document: Document, room: Room) -> None:  # noqa: ARG002
        document["expireAt"] = bson_date(int(document["ts"]) + TTL_MARGIN + DAY)
        document["editedAt"] = bson_date(int(document["ts"]) + MINUTE)


def _add_nothing(document: Document, room: Room) -> None:
    pass
