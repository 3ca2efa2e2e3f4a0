"""Settings of every type, permissions and roles: what an administrator has set up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from local.rocketchat.dice import Dice, bson_date, split_words
from local.rocketchat.text import Speaker
from local.rocketchat.world import DAY, ChatWorld, Document

SETTINGS = 1_100
GROUPS = split_words(
    "Accounts Analytics Assets Bots CAS E2E_Encryption Email Enterprise Federation FileUpload General "
    "IRC_Federation LDAP Layout Livechat Logs Message Meta Mobile OAuth Omnichannel OTR Push RateLimiter "
    "RetentionPolicy SAML SMS Setup_Wizard SlackBridge Threads Troubleshoot UserDataDownload VideoConference "
    "VoIP WebDAV Webhooks"
)
_WORDS = split_words(
    "Allow Enable Default Max Min Url Interval Size Users Rooms Message Timeout Email Domain Password Login "
    "Registration Role Field Map Template Icon Color Sync Background Auto Limit "
    "Channel Token Secret Cache Retry"
)

# Settings every server has, and which others' scripts look for.
_KNOWN: dict[str, tuple[str, Any]] = {
    "uniqueID": ("string", "kX8hJmZ3vTqLw5RcY"),
    "Site_Url": ("string", "https://chat.example"),
    "Site_Name": ("string", "Rocket.Chat"),
    "FileUpload_Storage_Type": ("select", "GridFS"),
    "FileUpload_MaxFileSize": ("int", 104_857_600),
    "Message_MaxAllowedSize": ("int", 5000),
    "Accounts_TwoFactorAuthentication_Enabled": ("boolean", True),
    "Organization_Type": ("select", None),
    "Layout_Custom_CSS": ("code", ".sidebar { color: #1d74f5; }\n"),
    "Prometheus_Port": ("int", 9458),
    "Show_Setup_Wizard": ("select", "completed"),
    "Update_LatestAvailableVersion": ("string", ""),
}


def setting_documents(world: ChatWorld, seed: int) -> Iterator[Document]:
    """`rocketchat_settings`: groups, then settings whose values are of every type the field may have."""
    dice, speaker = Dice(seed, "settings"), Speaker(seed, "settings")
    for group in GROUPS:
        yield _stamp_document(dice, world, {"_id": group, "type": "group", "i18nLabel": group, "sorter": 0})
    for name, (kind, value) in _KNOWN.items():
        yield _setting_document(dice, world, name, (kind, value), group=None)
    makers = _value_makers(dice, speaker, world)
    names = dict.fromkeys(_KNOWN)
    while len(names) < SETTINGS - len(GROUPS):
        group = dice.pick_one(GROUPS)
        name = "_".join((group, *dice.pick_some(_WORDS, dice.draw_between(1, 3))))
        if name not in names:
            names[name] = None
            yield _setting_document(dice, world, name, dice.pick_one(makers)(), group=group)


def _value_makers(dice: Dice, speaker: Speaker, world: ChatWorld) -> list[Callable[[], tuple[str, Any]]]:
    asset = {"url": "assets/favicon.ico", "defaultUrl": "images/logo/icon.svg"}
    makers: list[tuple[int, Callable[[], tuple[str, Any]]]] = [
        (35, lambda: ("boolean", dice.draw_bool(0.5))),
        (25, lambda: ("string", dice.pick_one(("", "", speaker.words(3))))),
        (12, lambda: ("int", dice.draw_below(100_000))),
        (3, lambda: ("int", dice.random() * 100)),
        (8, lambda: ("select", dice.pick_one(("all", "none", "disabled")))),
        (3, lambda: ("multiSelect", dice.pick_some(["user", "bot", "guest", "admin"], dice.draw_below(4)))),
        (4, lambda: ("password", dice.pick_one(("", dice.make_object_id())))),
        (3, lambda: ("color", f"#{dice.make_object_id()[:6]}")),
        (4, lambda: ("code", f"// {speaker.paragraph(4)}\n" * dice.draw_between(1, 8))),
        (1, lambda: ("asset", asset)),
        (1, lambda: ("action", "LDAP_Test_Connection")),
        (1, lambda: ("date", bson_date(world.now - dice.draw_below(90 * DAY)))),
        (1, lambda: ("roomPick", [{"_id": "GENERAL", "name": "general"}])),
        (1, lambda: ("timespan", float(dice.draw_below(90)) * DAY)),
        (1, lambda: ("string", None)),
        (1, lambda: ("json", {"nested": {"list": [1, 2.5, None, True, []]}, "empty": {}})),
    ]
    return [make for weight, make in makers for _ in range(weight)]


def _setting_document(
    dice: Dice, world: ChatWorld, name: str, typed: tuple[str, Any], *, group: str | None
) -> Document:
    kind, value = typed
    document: Document = {
        "_id": name,
        "type": kind,
        "value": value,
        "packageValue": value if dice.draw_bool(0.9) else None,
        "valueSource": "packageValue",
        "group": group,
        "section": dice.pick_one(_WORDS),
        "tab": None,
        "public": dice.draw_bool(0.3),
        "env": False,
        "i18nLabel": name,
        "i18nDescription": f"{name}_Description",
        "hidden": dice.draw_bool(0.02),
        "blocked": False,
        "secret": kind == "password",
        "autocomplete": True,
        "sorter": dice.draw_below(60),
        "requiredOnWizard": False,
        "wizard": None,
        "enterprise": False,
    }
    if kind == "select":
        values = ("all", "none", "disabled")
        document["values"] = [{"key": value, "i18nLabel": value.title()} for value in values]
    if dice.draw_bool(0.3):
        document["enableQuery"] = f'{{"_id":"{group}_Enable","value":true}}'
    return _stamp_document(dice, world, document)


def _stamp_document(dice: Dice, world: ChatWorld, document: Document) -> Document:
    changed = bson_date(world.now - dice.draw_below(300 * DAY))
    return document | {"createdAt": bson_date(world.start), "ts": changed, "_updatedAt": changed}


def permission_documents(world: ChatWorld, seed: int) -> Iterator[Document]:
    """`rocketchat_permissions`: actions on things, and the right to change single settings."""
    dice = Dice(seed, "permissions")
    things = split_words(
        "c-room p-room d-room user message file role team integration livechat-room statistics logs"
    )
    for action in ("view", "create", "edit", "delete", "manage", "pin", "archive", "export"):
        for message in things:
            roles = [
                "admin",
                *dice.pick_some(["user", "owner", "moderator", "leader", "bot"], dice.draw_below(4)),
            ]
            yield {"_id": f"{action}-{message}", "roles": roles, "_updatedAt": bson_date(world.start)}
    for group in GROUPS:
        yield {
            "_id": f"change-setting-{group}",
            "settingId": group,
            "level": "settings",
            "group": group,
            "section": None,
            "sorter": dice.draw_below(60),
            "roles": [],
            "_updatedAt": bson_date(world.start),
        }


def role_documents(world: ChatWorld) -> Iterator[Document]:
    """`rocketchat_roles`: the built-in ones and one of the team's own."""
    names = split_words(
        "admin moderator leader owner user bot app guest anonymous livechat-agent livechat-manager"
    )
    for name in names:
        scope = "Subscriptions" if name in ("moderator", "leader", "owner") else "Users"
        yield {
            "_id": name,
            "name": name,
            "scope": scope,
            "description": name.title(),
            "mandatory2fa": False,
            "protected": True,
            "_updatedAt": bson_date(world.start),
        }
    own = {"_id": "kX2vTqLw5RcYhJmZ3", "name": "Bühnentechnik", "scope": "Users", "description": ""}
    yield own | {"mandatory2fa": True, "protected": False, "_updatedAt": bson_date(world.start)}
