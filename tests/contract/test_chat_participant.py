"""Probes against the stand-in of the chat: its pages, the probe account over REST and the stream."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from local.rocketchat.rest import ChatUser, RestServer
from shared.adapters.chat_admin import connect_chat
from shared.adapters.chat_admin.participant import ProbeAccount
from shared.adapters.chat_probe.offer import connect_offer
from shared.kernel.errors import Refused, Unavailable
from shared.kernel.secret import Secret
from shared.probes.model import PushAnswer, ServerOffer

LONG = timedelta(seconds=60)
SHORT = timedelta(seconds=0.3)  # nothing comes
TEXT = "Groundcrew looks (ä€)"


@pytest.fixture
def chat() -> Iterator[RestServer]:
    with RestServer() as server:
        server.state.add_user(ChatUser("probe", "groundcrew-probe"))
        server.rooms.add_room("probes", "probe")
        server.rooms.add_room("secret", "somebody")
        yield server


def account(chat: RestServer, token: str = "") -> ProbeAccount:
    user = chat.state.users["probe"]
    token = token or chat.state.add_token(user, f"t{len(user.tokens)}")
    return ProbeAccount(connect_chat(chat.url, "probe", Secret(token), Secret("")))


def test_a_message_arrives_over_the_stream_and_is_deleted(chat: RestServer) -> None:
    trip = account(chat).send_message("probes", TEXT, timeout=LONG)
    assert trip.arrived_after is not None
    assert (trip.stream_problem, trip.left_behind) == ("", "")
    assert chat.rooms.sent == [TEXT]
    assert chat.rooms.messages == {}


def test_a_message_that_no_stream_brings_is_not_called_delivered(chat: RestServer) -> None:
    chat.rooms.is_silent = True
    trip = account(chat).send_message("probes", TEXT, timeout=SHORT)
    assert (trip.arrived_after, trip.stream_problem) == (None, "")
    assert chat.rooms.messages == {}


def test_without_a_websocket_only_rest_was_seen(chat: RestServer) -> None:
    chat.rooms.has_websocket = False
    trip = account(chat).send_message("probes", TEXT, timeout=LONG)
    assert (trip.arrived_after, trip.stream_problem) == (None, "no WebSocket to the chat: HTTP 502")
    assert ("GET", "chat.getMessage") in chat.calls
    assert chat.rooms.messages == {}


def test_what_cannot_be_deleted_is_said(chat: RestServer) -> None:
    chat.rooms.may_delete = False
    probe = account(chat)
    assert "error-action-not-allowed" in probe.send_message("probes", TEXT, timeout=LONG).left_behind
    assert "error-action-not-allowed" in probe.upload_file("probes", "a.txt", b"x").left_behind


def test_a_room_of_others_and_a_server_that_takes_nothing_refuse(chat: RestServer) -> None:
    probe = account(chat)
    with pytest.raises(Refused, match="rooms"):
        probe.send_message("secret", TEXT, timeout=LONG)
    chat.rooms.public["Cloud_Workspace_AirGapped_Restrictions_Remaining_Days"] = 0
    with pytest.raises(Refused, match="restricted-workspace"):
        probe.send_message("probes", TEXT, timeout=LONG)


def test_a_token_of_nobody_is_refused_and_a_chat_that_is_away_unavailable(chat: RestServer) -> None:
    account(chat).sign_in()
    with pytest.raises(Refused):
        account(chat, "nobody").sign_in()
    chat.broken = 2
    with pytest.raises(Unavailable):
        account(chat).sign_in()


def test_a_file_comes_back_as_it_was_and_goes_with_its_message(chat: RestServer) -> None:
    trip = account(chat).upload_file("probes", "a.txt", TEXT.encode())
    assert (trip.same_bytes, trip.problem, trip.left_behind) == (True, "", "")
    assert (chat.rooms.files, chat.rooms.messages) == ({}, {})
    chat.rooms.corrupts = True
    assert account(chat).upload_file("probes", "a.txt", b"abc").same_bytes is False


def test_a_store_elsewhere_is_not_followed(chat: RestServer) -> None:
    chat.rooms.redirects = True
    trip = account(chat).upload_file("probes", "a.txt", b"abc")
    assert trip.same_bytes is None
    assert "file store" in trip.problem


def test_push_is_off_without_a_device_or_tested(chat: RestServer) -> None:
    probe = account(chat)
    assert probe.test_push() == PushAnswer(enabled=True)
    chat.rooms.devices["probe"] = 2
    assert probe.test_push() == PushAnswer(enabled=True, devices=2)
    chat.state.permissions["test-push-notifications"] = ["admin"]
    assert "push.test" in probe.test_push().problem
    chat.rooms.public["Push_enable"] = False
    assert probe.test_push() == PushAnswer(enabled=False)


def test_what_the_server_offers_is_read_without_a_sign_in(chat: RestServer) -> None:
    lobby = connect_offer(chat.url)
    chat.rooms.services = ["keycloak", "SAML"]
    assert lobby.read_offer() == ServerOffer(frozenset({"keycloak", "saml", "password"}))
    chat.rooms.public |= {
        "Accounts_ShowFormLogin": False, "LDAP_Enable": True,
        "Cloud_Workspace_AirGapped_Restrictions_Remaining_Days": 4,
    }  # fmt: skip
    assert lobby.read_offer() == ServerOffer(frozenset({"keycloak", "saml", "ldap"}), restricted_in=4)
    # Hidden, as SETTINGS_HIDDEN and older servers do it: not known, and not off.
    chat.rooms.public["Accounts_ShowFormLogin"] = None
    assert lobby.read_offer().unseen == {"password"}


def test_a_chat_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        connect_offer("http://127.0.0.1:9").read_offer()
