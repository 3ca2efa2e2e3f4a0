"""`UpgradeProbes` over Rocket.Chat's database: counts by the server, and names.

Read-only, from a secondary where there is one, each query with a limit of time: a gate is no load test. Of
messages only their number is asked. Scripts and the licence are read to look at them here, and go no further.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import Any
from urllib.parse import urlsplit

import pymongo.database
from pymongo import ReadPreference, errors

from shared.adapters.mongodb.client import UNAUTHORIZED, connect, translate_errors
from shared.adapters.mongodb.message_links import count_message_links
from shared.kernel.ports import Clock
from shared.upgrades.licence import is_offline_licence
from shared.upgrades.model import ProbeKey, ProbeKind, ProbeResult, ProbeSubject, UpgradeObservation
from shared.upgrades.scripts import breaks_in_strict_mode, calls_other_servers

Database = pymongo.database.Database[dict[str, Any]]
Query = dict[str, Any]

# All of it, and the share of a query.
_TOTAL_SECONDS, _TIMEOUT_SECONDS = 9.0, 2.0
# Older statistics may be of another licence. They are written at each start and once a day:
# RocketChat/Rocket.Chat, apps/meteor/server/cron/usageReport.ts
_STATISTICS_AGE = timedelta(days=10)
_MAX_SCRIPTS = 500
_MAX_TIME_EXPIRED = 50  # https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml

# `apps/meteor/ee/server/settings`, 9.0.0: the switch of a service has no dash behind its name.
_CUSTOM = "Accounts_OAuth_Custom-"
_SERVICE = re.compile(rf"^{_CUSTOM}([A-Za-z0-9_]+)$")
_SETTINGS_FILTER = {"_id": {"$regex": rf"^{_CUSTOM}[A-Za-z0-9_]+(-(url|token_path|identity_path))?$"}}
# By the setting that switches a way to sign in on, what a user who has it looks like: services.<name> of
# Meteor's accounts, and Rocket.Chat's own marks.
_BUILT_IN: Mapping[str, Sequence[str]] = {
    "Accounts_OAuth_Apple": ("services.apple",),
    "Accounts_OAuth_Dolphin": ("services.dolphin",),
    "Accounts_OAuth_Drupal": ("services.drupal",),
    "Accounts_OAuth_Facebook": ("services.facebook",),
    "Accounts_OAuth_Github": ("services.github",),
    "Accounts_OAuth_GitHub_Enterprise": ("services.github_enterprise",),
    "Accounts_OAuth_Gitlab": ("services.gitlab",),
    "Accounts_OAuth_Google": ("services.google",),
    "Accounts_OAuth_Linkedin": ("services.linkedin",),
    "Accounts_OAuth_Meteor": ("services.meteor-developer",),
    "Accounts_OAuth_Nextcloud": ("services.nextcloud",),
    "Accounts_OAuth_Twitter": ("services.twitter",),
    "Accounts_OAuth_Wordpress": ("services.wordpress",),
    "CAS_enabled": ("services.cas",),
    "LDAP_Enable": ("services.ldap",),
    "SAML_Custom_Default": ("services.saml",),
}
_PASSWORD = ("services.password.bcrypt", "services.password.argon2")
_FORM = "Accounts_ShowFormLogin"  # true unless somebody switched it off
_LICENCES = ("Enterprise_License", "Cloud_Workspace_License")
_PUSH = ("Push_enable", "Push_enable_gateway")
_PRIVATE_NAMES = (".local", ".internal", ".lan", ".home.arpa", ".svc", ".localhost")
# Who is counted: people, not programs; somebody who was never switched off has no `active` in old databases.
_ACTIVE: Query = {"active": {"$ne": False}, "type": {"$nin": ["bot", "app"]}, "_id": {"$ne": "rocket.cat"}}


class MongoUpgradeProbes:
    """The database `database` of the server at `uri`, over a connection for each count."""

    def __init__(
        self, uri: str, clock: Clock, database: str = "rocketchat", *, seconds: float = _TOTAL_SECONDS
    ) -> None:
        self._uri, self._clock, self._name, self._seconds = uri, clock, database, seconds

    def count(self, probes: Collection[ProbeKey]) -> UpgradeObservation:
        """See `UpgradeProbes.count`."""
        client = connect(self._uri)
        try:
            with translate_errors("counting what an upgrade touches"):
                preferred = ReadPreference.SECONDARY_PREFERRED
                database = client.get_database(self._name, read_preference=preferred)
                reader = _TimedReader(database, self._clock.now(), time.monotonic() + self._seconds)
                # First, since it is short, and what the licence keeps depends on it.
                modules = _read_modules(reader)
                # What reads all messages comes last: it must not take the others' time.
                ordered = sorted(probes, key=lambda key: key[0] is ProbeKind.MESSAGE_LINKS)
                return UpgradeObservation({key: _run_probe(reader, key) for key in ordered}, modules)
        finally:
            client.close()


class _TimedReader:
    """The database, what time it is, and how much of it is left for all queries together."""

    def __init__(self, database: Database, now: datetime, deadline: float) -> None:
        self.database, self.now, self._deadline = database, now, deadline

    @contextmanager
    def limit(self, most_seconds: float = _TIMEOUT_SECONDS) -> Iterator[None]:
        """Gives a query so much of the time that is left. Raises ExecutionTimeout where that is too little.

        The server is asked to keep to it, and is not waited for if it does not: one whose disk hangs, or that
        looks at its clock seldom, would hold up the gate.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise errors.ExecutionTimeout("no time is left", _MAX_TIME_EXPIRED)
        try:
            with pymongo.timeout(min(most_seconds, left)):
                yield
        except errors.NetworkTimeout as error:
            raise errors.ExecutionTimeout("no answer in time", _MAX_TIME_EXPIRED) from error

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """The settings that the probes look at, read once."""
        return _read_settings(self)

    def count(
        self, collection: str, query: Query, *, within: Query | None = None, seconds: float = _TIMEOUT_SECONDS
    ) -> int:
        """How many documents fit, of those `within`. Raises ExecutionTimeout after so long, or at once if
        there is no time left.
        """
        # Two stages, which MongoDB joins: the embedded server takes an index for the first alone.
        stages = [{"$match": one} for one in (within, query) if one is not None]
        with self.limit(seconds):
            rows = list(self.database[collection].aggregate([*stages, {"$count": "count"}]))
        return rows[0]["count"] if rows else 0


def _run_probe(reader: _TimedReader, key: ProbeKey) -> ProbeResult:
    try:
        return _PROBES[key[0]](reader, key[1])
    except errors.OperationFailure as error:
        # One count that is refused or slow must not hide the others.
        if isinstance(error, errors.ExecutionTimeout):
            return ProbeResult(unknown="MongoDB took too long")
        if error.code == UNAUTHORIZED:
            return ProbeResult(unknown="the user of MongoDB may not read it")
        raise


def _read_settings(reader: _TimedReader) -> dict[str, Any]:
    names = [*_BUILT_IN, _FORM, *_LICENCES, *_PUSH]
    query = {"$or": [{"_id": {"$in": names}}, _SETTINGS_FILTER]}
    collection = reader.database["rocketchat_settings"]
    with reader.limit():
        return {str(one["_id"]): one.get("value") for one in collection.find(query, {"value": 1})}


def _read_modules(reader: _TimedReader) -> frozenset[str] | None:
    """`enterprise.modules` of the newest statistics, as the server wrote them of itself."""
    try:
        with reader.limit():
            newest = reader.database["rocketchat_statistics"].find_one(
                {}, {"enterprise.modules": 1, "createdAt": 1}, sort=[("createdAt", -1)]
            )
    except errors.OperationFailure:
        return None
    created = (newest or {}).get("createdAt")
    modules = ((newest or {}).get("enterprise") or {}).get("modules")
    if not isinstance(created, datetime) or not isinstance(modules, list):
        return None
    if created.tzinfo is None:  # pymongo's dates are naive and in UTC
        created = created.replace(tzinfo=UTC)
    return frozenset(map(str, modules)) if reader.now - created <= _STATISTICS_AGE else None


def _count_custom_oauth(reader: _TimedReader, _module: str) -> ProbeResult:
    settings = reader.settings
    services = _list_services(settings)
    return ProbeResult(_count_users(reader, services, _other_logins(settings, [])))


def _count_private_oauth(reader: _TimedReader, _parameter: str) -> ProbeResult:
    settings = reader.settings
    services = _list_services(settings)
    privacy = {service: _is_private(settings, switch) for service, switch in services.items()}
    private = {service: switch for service, switch in services.items() if privacy[service]}
    others = _other_logins(settings, [service for service in services if service not in private])
    unclear = ", ".join(service for service in services if privacy[service] is None)
    # A name may lead to a private address inside of the cluster, which cannot be seen from here.
    reason = f"what address the provider of {unclear} has within the cluster is not known" if unclear else ""
    return ProbeResult(_count_users(reader, private, others), reason)


def _list_services(settings: Mapping[str, Any]) -> dict[str, str]:
    """The custom services that are switched on: the name in `users.services`, and the setting's name."""
    matches = {name: _SERVICE.match(name) for name, value in settings.items() if value is True}
    return {match[1].lower(): name for name, match in sorted(matches.items()) if match}


def _is_private(settings: Mapping[str, Any], switch: str) -> bool | None:
    """Whether the provider has a private address; None if its name does not say."""
    values = [str(settings.get(f"{switch}-{part}") or "") for part in ("url", "token_path", "identity_path")]
    hosts = {urlsplit(value).hostname or "" for value in values if "://" in value}
    verdicts = [_is_private_host(host) for host in hosts]
    if any(verdicts):
        return True
    return None if not verdicts or None in verdicts else False


def _is_private_host(host: str) -> bool | None:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return True if "." not in host or host.endswith(_PRIVATE_NAMES) else None


def _other_logins(settings: Mapping[str, Any], services: Sequence[str]) -> list[Query]:
    """What a user looks like who has another way in: one that is on, and stays."""
    fields = [*(_PASSWORD if settings.get(_FORM) is not False else ())]
    for switch, marks in _BUILT_IN.items():
        fields += marks if settings.get(switch) is True else ()
    return [{field: {"$exists": True}} for field in (*fields, *(f"services.{name}.id" for name in services))]


def _count_users(
    reader: _TimedReader, services: Mapping[str, str], others: Sequence[Query]
) -> tuple[ProbeSubject, ...]:
    if not services:
        return ()
    users = partial(reader.count, "users")
    total = users(_ACTIVE)
    subjects = []
    for service, switch in services.items():
        query = {**_ACTIVE, f"services.{service}.id": {"$exists": True}}
        count = users(query)
        stranded = users({**query, "$nor": list(others)}) if others and count else count
        subjects.append(ProbeSubject(switch.removeprefix(_CUSTOM), count, stranded, total))
    return tuple(subjects)


def _count_scripts(reader: _TimedReader, _parameter: str, is_affected: Callable[[str], bool]) -> ProbeResult:
    names = ("name", "script", "scriptTranspile", "skipTranspile", "type")
    with reader.limit():
        cursor = reader.database["rocketchat_integrations"].find(
            {"enabled": True, "scriptEnabled": True}, dict.fromkeys(names, 1)
        )
        hooks = list(cursor.limit(_MAX_SCRIPTS + 1))
    reason = f"there are more than {_MAX_SCRIPTS} scripts" if len(hooks) > _MAX_SCRIPTS else ""
    subjects = [
        ProbeSubject(_clean_name(hook.get("name") or hook["_id"]), 1)
        for hook in hooks[:_MAX_SCRIPTS]
        if _is_affected_hook(hook, is_affected)
    ]
    return ProbeResult(tuple(sorted(subjects, key=lambda subject: subject.name)), reason)


def _is_affected_hook(hook: Mapping[str, Any], is_affected: Callable[[str], bool]) -> bool:
    """Whether the integration's script is: of strict mode not one that runs untranspiled already, of requests
    only an incoming one (https://github.com/RocketChat/Rocket.Chat/pull/40160, …/41057)."""
    if is_affected is breaks_in_strict_mode and (
        hook.get("scriptTranspile") is False or hook.get("skipTranspile") is True
    ):
        return False
    if is_affected is calls_other_servers and hook.get("type") != "webhook-incoming":
        return False
    return is_affected(str(hook.get("script") or ""))


def _count_message_links(reader: _TimedReader, path: str) -> ProbeResult:
    return count_message_links(reader.count, path, reader.now)


def _count_personal_tokens(reader: _TimedReader, _parameter: str) -> ProbeResult:
    # RocketChat/Rocket.Chat, packages/core-typings/src/IUser.ts: `isPersonalAccessToken`.
    query = {**_ACTIVE, "services.resume.loginTokens.type": "personalAccessToken"}
    # Programs hold them: here a bot counts.
    del query["type"]
    return _number(reader.count("users", query))


def _count_offline_push(reader: _TimedReader, _parameter: str) -> ProbeResult:
    settings = reader.settings
    licence = next((str(settings[name]) for name in _LICENCES if settings.get(name)), "")
    # Both are on unless somebody switched them off.
    if not licence or any(settings.get(name) is False for name in _PUSH):
        return ProbeResult()
    offline = is_offline_licence(licence)
    if offline is None:
        return ProbeResult(unknown="the licence cannot be read")
    devices = reader.count("_raix_push_app_tokens", {"enabled": {"$ne": False}}) if offline else 0
    return _number(devices)


def _number(count: int) -> ProbeResult:
    return ProbeResult((ProbeSubject(count=count),) if count else ())


def _clean_name(name: object) -> str:
    """On one line and short: whoever may make an integration writes its name, and we repeat it."""
    return "".join(sign for sign in str(name) if sign.isprintable() and sign != "`")[:60]


_PROBES: Mapping[ProbeKind, Callable[[_TimedReader, str], ProbeResult]] = {
    ProbeKind.CUSTOM_OAUTH: _count_custom_oauth,
    ProbeKind.PRIVATE_OAUTH: _count_private_oauth,
    ProbeKind.SLOPPY_SCRIPTS: partial(_count_scripts, is_affected=breaks_in_strict_mode),
    ProbeKind.REQUESTING_SCRIPTS: partial(_count_scripts, is_affected=calls_other_servers),
    ProbeKind.MESSAGE_LINKS: _count_message_links,
    ProbeKind.PERSONAL_TOKENS: _count_personal_tokens,
    ProbeKind.OFFLINE_PUSH: _count_offline_push,
}
