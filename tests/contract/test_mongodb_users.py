"""Two users that take turns, on a MongoDB that asks for passwords."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pymongo
import pytest

from local.mongodb import MongoServer
from shared.adapters.mongodb import connect_users
from shared.adapters.mongodb.users import MongoUsers
from shared.kernel.errors import Refused, Unavailable
from shared.kernel.secret import Secret

A, B = "chat-a", "chat/b@x"  # a name that a URI has to quote
ROLES = [{"role": "readWrite", "db": "rocketchat"}]


class Site:
    """The server's URIs by user."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.admin = self.uri("rotation", "rotation-password")
        self.first = self.uri(A, "first-password")
        self.users = connect_users(self.admin, (A, B))

    def uri(self, user: str, password: str, database: str = "rocketchat") -> Secret:
        options = "authSource=admin&directConnection=true"
        return Secret(f"mongodb://{user}:{password}@127.0.0.1:{self.port}/{database}?{options}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    folder: Path = tmp_path_factory.mktemp("mongodb")
    with (
        MongoServer(folder) as open_server,
        pymongo.MongoClient[dict[str, object]](open_server.uri, directConnection=True) as client,
    ):
        admin = [{"role": "userAdmin", "db": "admin"}]
        client.admin.command("createUser", "rotation", pwd="rotation-password", roles=admin)
    with MongoServer(folder, auth=True) as closed_server:
        yield closed_server


@pytest.fixture
def site(server: MongoServer) -> Iterator[Site]:
    site = Site(server.port)
    with pymongo.MongoClient[dict[str, object]](site.admin.reveal()) as client:
        client.admin.command("createUser", A, pwd="first-password", roles=ROLES)
        yield site
        for user in (A, B):
            if client.admin.command("usersInfo", user)["users"]:
                client.admin.command("dropUser", user)


def issue(site: Site, current: Secret) -> tuple[str, Secret]:
    """The next user's name and a home's value for it."""
    chosen = site.users.choose(current, "20260301T120000Z")
    secret = site.users.issue(chosen, current)
    return chosen.new_label, site.users.render(current, chosen.new_label, secret)


def test_the_second_user_gets_the_roles_of_the_first_and_both_are_valid(site: Site) -> None:
    label, value = issue(site, site.first)
    assert label == B
    site.users.prove(value, B)
    site.users.prove(site.first, A)
    with pymongo.MongoClient[dict[str, object]](value.reveal()) as client:
        client["rocketchat"]["x"].insert_one({"x": 1})


def test_hosts_and_options_stay_as_they_were(site: Site) -> None:
    before = Secret("mongodb://chat-a:old@h1:27017,h2:27018/rocketchat?replicaSet=rs0&authSource=admin")
    after = site.users.render(before, B, Secret("p/w")).reveal()
    assert (
        after == "mongodb://chat%2Fb%40x:p%2Fw@h1:27017,h2:27018/rocketchat?replicaSet=rs0&authSource=admin"
    )


def test_revoking_the_old_leaves_the_new_and_the_turns_go_on(site: Site) -> None:
    _, second = issue(site, site.first)
    site.users.revoke(A, second)
    site.users.revoke(A, second)  # a step that is done again
    site.users.prove(second, B)
    with pytest.raises(Refused, match=r"signing in to MongoDB anew|connecting"):
        site.users.prove(site.first, A)
    label, third = issue(site, second)
    assert label == A
    site.users.prove(third, A)
    site.users.prove(second, B)


def test_issuing_again_with_the_same_password_changes_nothing(site: Site) -> None:
    chosen = site.users.choose(site.first, "x")
    site.users.issue(chosen, site.first)
    site.users.issue(chosen, site.first)
    site.users.prove(site.users.render(site.first, B, chosen.secret), B)


def test_the_user_in_use_is_never_revoked(site: Site) -> None:
    with pytest.raises(Refused, match="the one in use: chat-a"):
        site.users.revoke(A, site.first)
    site.users.prove(site.first, A)


def test_users_of_different_roles_do_not_take_turns(site: Site) -> None:
    with pymongo.MongoClient[dict[str, object]](site.admin.reveal()) as client:
        client.admin.command("createUser", B, pwd="other", roles=[{"role": "root", "db": "admin"}])
    with pytest.raises(Refused, match="different roles"):
        issue(site, site.first)


def test_a_user_that_is_not_there_is_said(site: Site) -> None:
    with pytest.raises(Refused, match=r"not in its database: admin\.chat/b@x"):
        issue(site, site.uri("chat%2Fb%40x", "any"))


@pytest.mark.parametrize(
    "text",
    ["rediss://a:b@h/", "mongodb://127.0.0.1:27017/", "mongodb://chat-a@h/", "first-password", ""],
)
def test_a_home_without_a_uri_is_refused_and_nothing_of_it_quoted(text: str) -> None:
    with pytest.raises(Refused, match="no MongoDB URI") as told:
        MongoUsers(Secret(""), (A, B)).choose(Secret(text), "x")
    assert not text or text not in str(told.value)


def test_the_uri_of_a_third_user_is_refused() -> None:
    with pytest.raises(Refused, match="of another user: root"):
        MongoUsers(Secret(""), (A, B)).choose(Secret("mongodb://root:x@h/"), "x")


def test_a_password_that_may_not_be_changed_is_a_refusal(site: Site) -> None:
    by_reader = MongoUsers(site.first, (A, B))
    with pytest.raises(Refused, match="giving a user a new password is not allowed"):
        by_reader.issue(by_reader.choose(site.first, "x"), site.first)


def test_a_server_that_is_not_there_is_unavailable() -> None:
    users = MongoUsers(Secret(""), (A, B))
    gone = Secret("mongodb://chat-a:x@127.0.0.1:1/?serverSelectionTimeoutMS=200")
    with pytest.raises(Unavailable):
        users.prove(gone, A)


def test_a_server_without_sign_in_proves_nothing(tmp_path: Path) -> None:
    with MongoServer(tmp_path) as server:
        users = MongoUsers(Secret(""), (A, B))
        uri = f"mongodb://127.0.0.1:{server.port}/?directConnection=true"
        with pytest.raises(Refused, match="did not sign the user in"):
            users.prove(Secret(uri), A)
