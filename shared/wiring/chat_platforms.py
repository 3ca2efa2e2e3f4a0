"""The wiring of the platforms of chat-ops: their secrets, and why one is closed."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from shared.kernel.errors import Unavailable, UsageError
from shared.settings import chat_definitions, definitions
from shared.settings.environment import parse_setting, read_environment
from shared.wiring import connect_endpoint_queues, load_policy, system_clock
from shared.wiring.pages import page_access

if TYPE_CHECKING:
    from shared.chatops.intake import ChatIntake
    from shared.chatops.model import ChatPlatform
    from shared.chatops.ports import ChatRooms, ReplyHook
    from shared.settings.setting import Setting


@cache
def build_chat_intake() -> ChatIntake:
    """What the platforms need; without a secret its platform is closed."""
    from shared.chatops.intake import ChatIntake, make_group_commit
    from shared.chatops.model import ChatPlatform

    closed = find_disabled_platforms()
    secrets: dict[ChatPlatform, tuple[str, ...]] = {}
    for platform, setting in secret_settings().items():
        try:
            secrets[platform] = read_secrets(setting)
        except UsageError as error:  # a mistake at one platform closes that one only
            secrets[platform], closed[platform] = (), error.public
    return ChatIntake(
        make_group_commit(connect_endpoint_queues()), system_clock(), read_queue_key(),
        secrets[ChatPlatform.ROCKETCHAT], secrets[ChatPlatform.SLACK],
        secrets[ChatPlatform.TEAMS], page_access(), closed,
    )  # fmt: skip


def read_queue_key() -> bytes:
    """What seals commands on the queue: derived from the app's signing key; empty without one."""
    from shared.chatops.messages import derive_queue_key

    key_text = read_environment().values.get(definitions.SIGNING_KEY.name, "")
    # Derived and not the key itself, so that a flaw in one use cannot forge the other. Whoever may write to
    # the queue cannot order anything without it.
    return derive_queue_key(read_environment().get(definitions.SIGNING_KEY)) if key_text.strip() else b""


def secret_settings() -> dict[ChatPlatform, Setting]:
    """The setting of each platform's secrets."""
    from shared.chatops.model import ChatPlatform

    return {
        ChatPlatform.ROCKETCHAT: chat_definitions.ROCKETCHAT_TOKENS,
        ChatPlatform.SLACK: chat_definitions.SLACK_SECRETS,
        ChatPlatform.TEAMS: chat_definitions.TEAMS_SECRETS,
    }


def find_disabled_platforms() -> dict[ChatPlatform, str]:
    """Why each closed platform is closed. Raises UsageError."""
    from shared.chatops.model import ChatPlatform

    if not load_policy().chat.rules:
        return dict.fromkeys(ChatPlatform, "policy.yaml has no chat.rules")
    if not read_queue_key():
        return dict.fromkeys(ChatPlatform, f"{definitions.SIGNING_KEY.name} not set")
    needed: dict[ChatPlatform, tuple[Setting, ...]] = {
        ChatPlatform.ROCKETCHAT: (
            chat_definitions.ROCKETCHAT_TOKENS, definitions.CHAT, chat_definitions.ROCKETCHAT_USER,
            chat_definitions.ROCKETCHAT_USER_TOKEN,
        ),
        ChatPlatform.SLACK: (chat_definitions.SLACK_SECRETS,),
        ChatPlatform.TEAMS: (chat_definitions.TEAMS_SECRETS,),
    }  # fmt: skip
    # All four for Rocket.Chat: a token without a way to read back would be enough for whoever saw it once.
    closed = {}
    for platform, settings in needed.items():
        if missing := [one.name for one in settings if not read_environment().get(one)]:
            closed[platform] = f"{', '.join(missing)} not set"
    # On a person's own machine nobody vouches for anybody, and the header could be written by hand.
    access = page_access()
    if access.problem or access.sign_in != "app-service":
        closed[ChatPlatform.WEB] = access.problem or "App Service authentication is not on"
    return closed


def describe_platforms() -> str:
    """Which platforms are open and why others are closed. Raises Unavailable if a rule names a closed one."""
    from shared.chatops.model import ChatPlatform

    closed = find_disabled_platforms()
    named = {room.partition(":")[0] for rule in load_policy().chat.rules for room in rule.rooms}
    platforms = (ChatPlatform.ROCKETCHAT, ChatPlatform.SLACK, ChatPlatform.TEAMS, ChatPlatform.WEB)
    states = [
        f"{platform} closed: {closed[platform]}" if platform in closed else f"{platform} open"
        for platform in platforms
    ]
    text = "; ".join(states)
    # A platform that is closed on purpose is fine; one that policy counts on is a fault.
    if any(str(platform) in named for platform in closed):
        raise Unavailable(f"chat.rules names a room of a closed platform: {text}")
    return text


def connect_rooms() -> ChatRooms | None:
    """Rocket.Chat by its REST interface; None where its platform is closed. Raises UsageError."""
    from shared.adapters.chat_rooms import connect
    from shared.kernel.secret import Secret

    env = read_environment()
    url, user = env.get(definitions.CHAT), env.get(chat_definitions.ROCKETCHAT_USER)
    token = Secret(env.get(chat_definitions.ROCKETCHAT_USER_TOKEN))
    if not (url and user and token):
        return None
    return parse_setting(definitions.CHAT, lambda text: connect(text, user, token), url)


def connect_hook() -> ReplyHook:
    """Slack's hooks; those of this machine too where the app is not on Azure."""
    from shared.adapters.slack_hooks import connect

    # On Azure 127.0.0.1 is the platform's own, and the address comes from whoever sends the request.
    return connect(allow_loopback=not read_environment().is_on_azure)


def read_secrets(setting: Setting) -> tuple[str, ...]:
    """At most two, of which the older one is going. Raises UsageError, quoting none."""
    values = tuple(read_environment().get(setting).split())
    # Each secret that is still taken is one more that may have leaked: an exchange needs two, and no more.
    if len(values) > 2:
        hint = "Keep the new one and the one that goes."
        raise UsageError(f"{setting.name} has {len(values)} secrets", hint=hint)
    if setting is chat_definitions.TEAMS_SECRETS:
        from shared.chatops.platforms import decode_teams_secret

        if not all(map(decode_teams_secret, values)):
            raise UsageError(
                f"{setting.name} is not base64", hint="Copy the security token as Teams shows it."
            )
    return values
