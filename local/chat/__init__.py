"""A Rocket.Chat that takes incoming webhooks and keeps what it was told."""

from local.chat.server import ChatServer, Hook

__all__ = ["ChatServer", "Hook"]
