"""The Secret with the chat's address, switched and switched back."""

from __future__ import annotations

import pytest

from shared.kernel.errors import Conflict, NotFound, Refused
from shared.kernel.secret import Secret
from shared.migrate.connection import OPLOG_KEY, SecretConnection

OLD, NEW = "mongodb://chat:old@old/", "mongodb://chat:new@new/"


class MemorySecret:
    """`SecretKeys`."""

    def __init__(self, **values: str) -> None:
        self.values, self.version = values, 1
        self.writes: list[str] = []

    def read_key(self, key: str) -> tuple[Secret, str]:
        if key not in self.values:
            raise NotFound("the Secret has no such key")
        return Secret(self.values[key]), str(self.version)

    def write_key(self, key: str, value: Secret, version: str) -> None:
        if version != str(self.version):
            raise Conflict("the Secret has changed")
        self.values[key], self.version = value.reveal(), self.version + 1
        self.writes.append(key)


def test_the_new_address_takes_the_place_of_the_old_one_which_stays_beside_it() -> None:
    secret = MemorySecret(uri=OLD)
    connection = SecretConnection(secret, "uri", Secret(NEW))
    connection.switch()
    connection.switch()
    assert secret.values == {"uri": NEW, "uri.before-migration": OLD}
    assert secret.writes == ["uri.before-migration", "uri"]
    SecretConnection(secret, "uri", Secret("")).switch_back()
    connection.switch_back()
    assert secret.values["uri"] == OLD
    assert len(secret.writes) == 3


def test_killed_after_the_old_one_was_kept_the_next_call_switches() -> None:
    secret = MemorySecret(**{"uri": OLD, "uri.before-migration": OLD})
    SecretConnection(secret, "uri", Secret(NEW)).switch()
    assert secret.values["uri"] == NEW


def test_one_that_was_never_switched_is_left_as_it_is() -> None:
    secret = MemorySecret(uri=OLD)
    SecretConnection(secret, "uri", Secret(NEW)).switch_back()
    assert (secret.values, secret.writes) == ({"uri": OLD}, [])


def test_a_secret_is_looked_at_before_the_chat_is_stopped() -> None:
    SecretConnection(MemorySecret(uri=OLD), "uri", Secret(NEW)).check()
    with pytest.raises(NotFound):
        SecretConnection(MemorySecret(other=OLD), "uri", Secret(NEW)).check()
    both = MemorySecret(**{"mongo-uri": OLD, OPLOG_KEY: OLD})
    with pytest.raises(Refused, match=r"mongo-oplog-uri as well.*pull request"):
        SecretConnection(both, "mongo-uri", Secret(NEW)).check()


def test_a_secret_without_the_key_is_not_given_one() -> None:
    secret = MemorySecret(other=OLD)
    with pytest.raises(NotFound):
        SecretConnection(secret, "uri", Secret(NEW)).switch()
    assert secret.writes == []
