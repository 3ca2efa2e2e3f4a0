"""Rocket.Chat's REST API for administrators: settings, people, second factors, tokens, limits."""

from local.rocketchat.rest.rooms import ChatRoomsState
from local.rocketchat.rest.server import RestServer
from local.rocketchat.rest.state import ChatServerState, ChatUser

__all__ = ["ChatRoomsState", "ChatServerState", "ChatUser", "RestServer"]
