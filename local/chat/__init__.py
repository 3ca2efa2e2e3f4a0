"""A Rocket.Chat that takes incoming webhooks, sends outgoing ones, and keeps what it was told."""

from local.chat.conversations import Conversations, Integration
from local.chat.server import ChatServer, Hook, read_message

__all__ = ["ChatServer", "Conversations", "Hook", "Integration", "read_message"]
