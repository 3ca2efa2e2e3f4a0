"""Rocket.Chat's REST API as one who administers it: settings, people, tokens.

https://developer.rocket.chat/apidocs
"""

from shared.adapters.chat_admin.rest import ChatApi, connect_chat
from shared.adapters.chat_admin.tokens import AccessTokens

__all__ = ["AccessTokens", "ChatApi", "connect_chat"]
