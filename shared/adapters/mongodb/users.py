"""`CredentialAuthority` of two MongoDB users that take turns: one is in use, the other gets a new password.

`updateUser` replaces a password at once, so changing that of the user in use would lock its readers out.
https://www.mongodb.com/docs/manual/reference/command/updateUser/
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from shared.adapters.mongodb.client import Client, connect, translate_errors
from shared.kernel.errors import Refused
from shared.kernel.secret import Secret
from shared.secrets_rotation.model import ChosenCredential

_URI = re.compile(r"(mongodb(?:\+srv)?://)([^:@/?]+):([^@/?]*)@([^/?]+)(?:/([^?]*))?(?:\?(.*))?", re.ASCII)


class MongoUsers:
    """The users `turns`; `admin` is the URI of a user that may change their passwords.

    Needed rights: `viewUser` and `changePassword` on their database; `createUser` and `grantRole` too if the
    second user is to be made by the first rotation.
    """

    def __init__(
        self, admin: Secret, turns: Sequence[str], open_client: Callable[[str], Client] = connect
    ) -> None:
        self._admin, self._turns, self._open = admin, tuple(turns), open_client

    def choose(self, current: Secret, _rotation: str) -> ChosenCredential:
        """See `CredentialAuthority.choose`."""
        user = unquote(_parse_uri(current)[2])
        # Somebody put in a third user: a rotation would end that one's access without being asked.
        if user not in self._turns:
            hint = f"Policy names {' and '.join(self._turns)}."
            raise Refused("the home's URI is of another user", value=user, hint=hint)
        return ChosenCredential(user, self._other(user), Secret(secrets.token_urlsafe(32)))

    def issue(self, chosen: ChosenCredential, current: Secret) -> Secret:
        """Give the user whose turn it is the password, with the same roles as the one in use."""
        database = _auth_database(current)
        with self._client("giving a user a new password") as client:
            old, new = _user(client, database, chosen.old_label), _user(client, database, chosen.new_label)
            if old is None:
                raise Refused(
                    "the user in use is not in its database", value=f"{database}.{chosen.old_label}"
                )
            password: dict[str, Any] = {"pwd": chosen.secret.reveal()}
            if new is None:
                client[database].command("createUser", chosen.new_label, roles=old["roles"], **password)
            # Somebody granted one of them something by hand: which of the two is meant is not for a timer to
            # decide.
            elif _roles(new) != _roles(old):
                hint = "Give both the same roles: readers would lose rights, or gain some."
                raise Refused("the two users have different roles", value=chosen.new_label, hint=hint)
            else:
                client[database].command("updateUser", chosen.new_label, **password)
        return chosen.secret

    def render(self, current: Secret, label: str, secret: Secret) -> Secret:
        """The same URI with the other user; hosts and options stay."""
        match = _parse_uri(current)
        user, password = quote(label, safe=""), quote(secret.reveal(), safe="")
        return Secret(f"{match[1]}{user}:{password}@{current.reveal().strip().partition('@')[2]}")

    def render_final(self, current: Secret, label: str, secret: Secret) -> Secret:
        """The same: the home holds one user at a time."""
        return self.render(current, label, secret)

    def activate(self, _secret: Secret) -> None:
        """Nothing to do: readers present it."""

    def deactivate(self, _before: Secret) -> None:
        """Nothing to do: readers present it."""

    def prove(self, value: Secret, label: str) -> None:
        """Sign in anew: connections that are open stay signed in with a password that is gone."""
        client = self._open(value.reveal().strip())
        try:
            with translate_errors("signing in to MongoDB anew"):
                status = client.admin.command("connectionStatus")
        finally:
            client.close()
        users = [one["user"] for one in status["authInfo"]["authenticatedUsers"]]
        if users != [label]:
            raise Refused("MongoDB did not sign the user in", value=label)

    def revoke(self, label: str, valid: Secret) -> str:
        """Give the user a password that nobody knows, so that it is there for the next turn."""
        # The last guard: a mistake further up would lock all readers out.
        if unquote(_parse_uri(valid)[2]) == label:
            raise Refused("this user is the one in use", value=label)
        database = _auth_database(valid)
        with self._client("revoking a password") as client:
            if _user(client, database, label) is not None:
                client[database].command("updateUser", label, pwd=secrets.token_urlsafe(32))
        return ""

    def _other(self, user: str) -> str:
        return next(one for one in self._turns if one != user)

    @contextmanager
    def _client(self, doing: str) -> Iterator[Client]:
        client = self._open(self._admin.reveal())
        try:
            with translate_errors(doing):
                yield client
        finally:
            client.close()


def _parse_uri(value: Secret) -> re.Match[str]:
    """Raises Refused, quoting nothing."""
    match = _URI.fullmatch(value.reveal().strip())
    if match is None:
        hint = "It has to be mongodb://USER:PASSWORD@HOST/…"
        raise Refused("the home holds no MongoDB URI with a user and a password", hint=hint)
    return match


def _auth_database(value: Secret) -> str:
    """https://www.mongodb.com/docs/manual/reference/connection-string-options/#mongodb-urioption-urioption.authSource"""
    match = _parse_uri(value)
    options = {name.lower(): values[-1] for name, values in parse_qs(match[6] or "").items()}
    return options.get("authsource") or unquote(match[5] or "") or "admin"


def _user(client: Client, database: str, name: str) -> dict[str, Any] | None:
    users: list[dict[str, Any]] = client[database].command("usersInfo", {"user": name, "db": database})[
        "users"
    ]
    return users[0] if users else None


def _roles(user: dict[str, Any]) -> set[tuple[str, str]]:
    return {(one["db"], one["role"]) for one in user.get("roles", ())}
