"""For each rule a database in which it fires and one in which it does not, read by the real adapter."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pymongo
import pytest

from local.fakes.clock import ManualClock
from local.faults.proxy import CuttingProxy
from local.mongodb import MongoServer
from shared.adapters.mongodb.upgrade_counts import MongoUpgradeProbes
from shared.kernel.errors import Unavailable
from shared.upgrades.decide import assess_losses, needed_probes
from shared.upgrades.model import UpgradeLoss, UpgradeObservation
from shared.upgrades.rules import load_rules

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
RULES = {rule.id: rule for rule in load_rules()}
LINKS = "9.0.0-ufs-links"
KEYCLOAK = "Accounts_OAuth_Custom-Keycloak"
SLOPPY = "class Script { process_incoming_request({ request }) { msg = request.content; return msg } }"
STRICT = SLOPPY.replace("msg =", "const msg =")
CALLING = "class Script { process_incoming_request() { return HTTP('GET', 'http://jira.internal') } }"
Planted = dict[str, list[dict[str, Any]]]


def setting(name: str, value: object) -> dict[str, Any]:
    return {"_id": name, "value": value}


def user(name: str, *ways: str, **more: Any) -> dict[str, Any]:
    """Somebody with these ways to sign in: a name of a service, or `password`."""
    services: dict[str, Any] = {way: {"id": f"{name}-{way}"} for way in ways if way != "password"}
    if "password" in ways:
        services["password"] = {"bcrypt": "$2b$10$"}
    return {"_id": name, "username": name, "type": "user", "active": True, "services": services} | more


def statistics(*modules: str, age: timedelta = timedelta(hours=5)) -> list[dict[str, Any]]:
    old = {
        "_id": "old",
        "createdAt": NOW - timedelta(days=90),
        "enterprise": {"modules": ["oauth-enterprise"]},
    }
    return [old, {"_id": "new", "createdAt": NOW - age, "enterprise": {"modules": list(modules)}}]


def hook(name: str, script: str, **more: Any) -> dict[str, Any]:
    entry = {"_id": name, "name": name, "type": "webhook-incoming", "enabled": True, "scriptEnabled": True}
    return entry | {"script": script} | more


def licence(*, offline: bool) -> str:
    body = json.dumps({"version": "3.0", "information": {"offline": offline}}).encode()
    return f"RCV3_e30.{base64.urlsafe_b64encode(body).decode().rstrip('=')}.c2ln"


PEOPLE = [
    user("ada", "keycloak"),
    user("ben", "keycloak", "password"),
    user("cleo", "password"),
    user("dan", "keycloak", active=False),
    user("bot", "keycloak", type="bot"),
    user("rocket.cat", "keycloak"),
]
OAUTH: Planted = {"users": PEOPLE, "rocketchat_settings": [setting(KEYCLOAK, True)]}
OFFLINE = [setting("Enterprise_License", licence(offline=True))]
DEVICES = [{"_id": "d1", "enabled": True}, {"_id": "d2"}, {"_id": "d3", "enabled": False}]


def at(url: str, **parts: str) -> Planted:
    named = [setting(f"{KEYCLOAK}-{part}", value) for part, value in {"url": url, **parts}.items()]
    return OAUTH | {"rocketchat_settings": [setting(KEYCLOAK, True), *named]}


FIRES: dict[str, tuple[str, Planted, str]] = {
    "keycloak": (
        "9.0.0-custom-oauth",
        OAUTH | {"rocketchat_statistics": statistics()},
        "1 of 3 active users have no other login, 2 use it",
    ),
    "the form is off": (
        "9.0.0-custom-oauth",
        OAUTH
        | {
            "rocketchat_statistics": statistics(),
            "rocketchat_settings": [setting(KEYCLOAK, True), setting("Accounts_ShowFormLogin", False)],
        },
        "2 of 3 active users have no other login",
    ),
    "LDAP is off": (
        "9.0.0-custom-oauth",
        OAUTH | {"rocketchat_statistics": statistics(), "users": [user("eve", "keycloak", "ldap")]},
        "1 of 1 active users have no other login",
    ),
    "scripts": (
        "9.0.0-integration-scripts",
        {
            "rocketchat_integrations": [
                hook("jira", SLOPPY),
                hook("fine", STRICT),
                hook("off", SLOPPY, enabled=False),
                hook("unscripted", SLOPPY, scriptEnabled=False),
                hook("grafana`\n@all", SLOPPY),
            ]
        },
        "`grafana@all`, `jira`",
    ),
    "links": (
        "9.0.0-ufs-links",
        {
            "rocketchat_message": [
                {"_id": "1", "msg": "see https://chat.example/ufs/GridFS:Uploads/a/b.png"},
                {"_id": "2", "msg": "", "attachments": [{"title_link": "/ufs/GridFS:Uploads/c/d"}]},
                {"_id": "3", "urls": [{"url": "https://chat.example/ufs/x"}]},
                {"_id": "4", "msg": "about ufs and /file-upload/x"},
            ]
        },
        "3 messages link to /ufs/",
    ),
    "tokens": (
        "9.0.0-refusals",
        {
            "users": [
                {
                    **user("robot", type="bot"),
                    "services": {"resume": {"loginTokens": [{"type": "personalAccessToken"}]}},
                },
                {**user("human"), "services": {"resume": {"loginTokens": [{"hashedToken": "x"}]}}},
            ]
        },
        "1 active users have personal access tokens",
    ),
    "push": (
        "8.7.0-offline-licence-push",
        {"rocketchat_settings": OFFLINE, "_raix_push_app_tokens": DEVICES},
        "2 devices",
    ),
    "private address": (
        "8.2.0-oauth-private-address",
        at("https://10.0.4.7/realms/x"),
        "1 of 3 active users",
    ),
    "private name": ("8.2.0-oauth-private-address", at("https://keycloak/realms/x"), "1 of 3 active users"),
    "private token path": (
        "8.2.0-oauth-private-address",
        at("https://login.example.org", token_path="https://idp.local:9443/oauth2/token"),
        "1 of 3",
    ),
    "calls": (
        "8.2.0-script-requests",
        {
            "rocketchat_integrations": [
                hook("jira", CALLING),
                hook("quiet", STRICT),
                hook("out", CALLING, type="webhook-outgoing"),
            ]
        },
        "check `jira`,",
    ),
}

QUIET: dict[str, tuple[str, Planted]] = {
    "licensed": ("9.0.0-custom-oauth", OAUTH | {"rocketchat_statistics": statistics("oauth-enterprise")}),
    "switched off": ("9.0.0-custom-oauth", {**OAUTH, "rocketchat_settings": [setting(KEYCLOAK, False)]}),
    "another setting": (
        "9.0.0-custom-oauth",
        {**OAUTH, "rocketchat_settings": [setting(f"{KEYCLOAK}-merge_users", True)]},
    ),
    "strict scripts": (
        "9.0.0-integration-scripts",
        {
            "rocketchat_integrations": [
                hook("fine", STRICT),
                hook("native", SLOPPY, scriptTranspile=False),
                hook("n2", SLOPPY, skipTranspile=True),
            ]
        },
    ),
    "no links": ("9.0.0-ufs-links", {"rocketchat_message": [{"_id": "1", "msg": "ufs"}]}),
    "no tokens": ("9.0.0-refusals", {"users": PEOPLE}),
    "online licence": (
        "8.7.0-offline-licence-push",
        {
            "rocketchat_settings": [setting("Enterprise_License", licence(offline=False))],
            "_raix_push_app_tokens": DEVICES,
        },
    ),
    "old licence": (
        "8.7.0-offline-licence-push",
        {"rocketchat_settings": [setting("Enterprise_License", "AAAA")], "_raix_push_app_tokens": DEVICES},
    ),
    "own gateway": (
        "8.7.0-offline-licence-push",
        {
            "rocketchat_settings": [*OFFLINE, setting("Push_enable_gateway", False)],
            "_raix_push_app_tokens": DEVICES,
        },
    ),
    "no devices": ("8.7.0-offline-licence-push", {"rocketchat_settings": OFFLINE}),
    "public address": ("8.2.0-oauth-private-address", at("https://8.8.8.8/realms/x")),
    "no calls": ("8.2.0-script-requests", {"rocketchat_integrations": [hook("jira", STRICT)]}),
}

UNKNOWN: dict[str, tuple[str, Planted, str]] = {
    "no statistics": ("9.0.0-custom-oauth", OAUTH, "whether the licence has the module"),
    "old statistics": (
        "9.0.0-custom-oauth",
        OAUTH | {"rocketchat_statistics": statistics("oauth-enterprise", age=timedelta(days=11))},
        "1 of 3 active users",
    ),
    "a name": (
        "8.2.0-oauth-private-address",
        at("https://login.example.org"),
        "keycloak has within the cluster",
    ),
    "no address": ("8.2.0-oauth-private-address", OAUTH, "keycloak has within the cluster"),
    "broken licence": (
        "8.7.0-offline-licence-push",
        {
            "rocketchat_settings": [setting("Enterprise_License", "RCV3_x.y")],
            "_raix_push_app_tokens": DEVICES,
        },
        "the licence cannot be read",
    ),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    with MongoServer(tmp_path_factory.mktemp("mongodb")) as server:
        yield server


def count(server: MongoServer, rule: str, planted: Planted) -> UpgradeObservation:
    uri = f"{server.uri}?directConnection=true"
    with pymongo.MongoClient[dict[str, Any]](uri) as client:
        client.drop_database("planted")
        for collection, documents in planted.items():
            client["planted"][collection].insert_many([dict(document) for document in documents])
    return MongoUpgradeProbes(uri, ManualClock(NOW), "planted").count(needed_probes([RULES[rule]]))


def assess(server: MongoServer, rule: str, planted: Planted) -> tuple[UpgradeLoss, ...]:
    return assess_losses([RULES[rule]], count(server, rule, planted))


@pytest.mark.parametrize("name", FIRES)
def test_a_rule_fires_on_a_database_that_has_what_it_is_about(server: MongoServer, name: str) -> None:
    rule, planted, text = FIRES[name]
    (loss,) = assess(server, rule, planted)
    assert text in loss.text
    assert not loss.unknown
    assert loss.locks_out is (RULES[rule].effect == "blocks")


@pytest.mark.parametrize("name", QUIET)
def test_a_rule_does_not_fire_on_a_database_that_lacks_it(server: MongoServer, name: str) -> None:
    rule, planted = QUIET[name]
    assert not assess(server, rule, planted)


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_the_database_does_not_say_is_unknown(server: MongoServer, name: str) -> None:
    rule, planted, text = UNKNOWN[name]
    (loss,) = assess(server, rule, planted)
    assert loss.unknown
    assert text in loss.text


def test_every_rule_is_planted_both_ways() -> None:
    assert {rule for rule, _, _ in FIRES.values()} == {rule for rule, _ in QUIET.values()} == set(RULES)


@pytest.mark.parametrize(
    ("switch", "way"),
    [("LDAP_Enable", "ldap"), ("SAML_Custom_Default", "saml"), ("Accounts_OAuth_Google", "google")],
)
def test_another_way_in_that_is_on_keeps_somebody_in(server: MongoServer, switch: str, way: str) -> None:
    planted = {"users": [user("ada", "keycloak", way)], "rocketchat_statistics": statistics()}
    for value, stranded in ((True, 0), (False, 1)):
        settings = [setting(KEYCLOAK, True), setting(switch, value)]
        seen = count(server, "9.0.0-custom-oauth", {**planted, "rocketchat_settings": settings})
        assert [subject.stranded for result in seen.results.values() for subject in result.subjects] == [
            stranded
        ]


def test_a_second_service_that_is_refused_too_is_no_other_way_in(server: MongoServer) -> None:
    settings = [setting(KEYCLOAK, True), setting("Accounts_OAuth_Custom-Entra_id", True)]
    planted = {"users": [user("ada", "keycloak", "entra_id")], "rocketchat_settings": settings}
    seen = count(server, "9.0.0-custom-oauth", planted)
    (result,) = seen.results.values()
    assert [(one.name, one.stranded) for one in result.subjects] == [("Entra_id", 1), ("Keycloak", 1)]
    # At a private address only one of them stops: the other stays a way in.
    private = [*settings, setting(f"{KEYCLOAK}-url", "https://10.0.0.1"),
               setting("Accounts_OAuth_Custom-Entra_id-url", "https://8.8.8.8")]  # fmt: skip
    seen = count(server, "8.2.0-oauth-private-address", {**planted, "rocketchat_settings": private})
    (result,) = seen.results.values()
    assert [(one.name, one.count, one.stranded) for one in result.subjects] == [("Keycloak", 1, 0)]


def test_no_text_of_a_message_and_none_of_a_script_leaves_the_process(server: MongoServer) -> None:
    rules = [rule for rule, _, _ in FIRES.values()]
    planted: Planted = {}
    for _, documents, _ in FIRES.values():
        planted |= documents
    planted["rocketchat_message"] = [{"_id": "1", "msg": "s3cret /ufs/x"}]
    planted["rocketchat_integrations"] = [
        hook("jira", SLOPPY + "// s3cret"),
        hook("call", CALLING + "// s3cret"),
    ]
    uri = f"{server.uri}?directConnection=true"
    count(server, rules[0], planted)
    keys = needed_probes(list(RULES.values()))
    seen = MongoUpgradeProbes(uri, ManualClock(NOW), "planted").count(keys)
    assert set(seen.results) == set(keys)
    assert "s3cret" not in repr(seen)
    assert "HTTP" not in repr(seen)


def test_a_server_that_is_away_is_unavailable() -> None:
    probes = MongoUpgradeProbes("mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=50", ManualClock(NOW))
    with pytest.raises(Unavailable):
        probes.count(needed_probes(list(RULES.values())))


def test_many_links_are_counted_to_the_end_where_there_is_time(server: MongoServer) -> None:
    links = [{"_id": str(number), "msg": "see /ufs/x"} for number in range(1_005)]
    (loss,) = assess(server, LINKS, {"rocketchat_message": [*links, {"_id": "none", "msg": "ufs"}]})
    assert loss.text == "9.0.0: 1,005 messages link to /ufs/, which is gone"


def test_what_there_is_no_time_for_is_unknown_and_holds_nobody_up(server: MongoServer) -> None:
    keys = needed_probes(list(RULES.values()))
    uri = f"{server.uri}?directConnection=true"
    seen = MongoUpgradeProbes(uri, ManualClock(NOW), "planted", seconds=0).count(keys)
    assert {result.unknown for result in seen.results.values()} == {"MongoDB took too long"}
    assert seen.modules is None


def test_a_server_that_falls_silent_is_not_waited_for(server: MongoServer) -> None:
    # It says which modules there are, and is silent before the end of the settings.
    planted: Planted = {
        "rocketchat_statistics": statistics("oauth-enterprise"),
        "rocketchat_settings": [setting("Enterprise_License", "x" * 300_000)],
    }
    count(server, LINKS, planted)
    with CuttingProxy(int(server.uri.rpartition(":")[2].partition("/")[0])) as proxy:
        proxy.stall_after(100_000)
        uri = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"
        probes = MongoUpgradeProbes(uri, ManualClock(NOW), "planted", seconds=3)
        seen = probes.count(needed_probes(list(RULES.values())))
    assert seen.modules == {"oauth-enterprise"}
    assert {result.unknown for result in seen.results.values()} == {"MongoDB took too long"}
