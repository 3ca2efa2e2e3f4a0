"""What is audited, as it is read: a Rocket.Chat database, the cluster's stand-in, Resource Manager's JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymongo
import pytest
import yaml

from local.kubernetes import KubernetesServer
from local.mongodb import MongoServer
from local.rocketchat.rest import ChatUser, RestServer
from local.stack import ROOT
from shared.adapters.azure_network import AzureNetwork
from shared.adapters.chat_admin import connect_chat
from shared.adapters.chat_admin.settings import ChatSettings
from shared.adapters.kubernetes.posture import connect_cluster_posture
from shared.adapters.mongodb.integration_notes import MongoIntegrationNotes
from shared.adapters.mongodb.posture import MongoPosture
from shared.hardening.model import AccessToken, NetworkRule, SettingChange
from shared.kernel.errors import NotFound, Refused, Unavailable
from shared.kernel.secret import Secret
from shared.probes.model import IntegrationState
from tests.support.clusters import open_cluster
from tests.support.published_api import describe_faults, rocketchat_api

PASSWORD = "an administrator's"
AT = datetime(2026, 2, 1, 8, tzinfo=UTC)
TOKEN = {"hashedToken": "h4sh", "type": "personalAccessToken", "name": "ci", "createdAt": AT}


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with (
        MongoServer(tmp_path_factory.mktemp("mongodb")) as server,
        pymongo.MongoClient[dict[str, Any]](server.uri, directConnection=True) as client,
    ):
        fill_chat(client["rocketchat"])
        yield f"{server.uri}?directConnection=true"


def fill_chat(database: Any) -> None:
    settings = {
        "Accounts_RegistrationForm": "Public", "Enable_CSP": True, "Accounts_OAuth_Custom-Entra": True,
        "Accounts_OAuth_Custom-Entra-url": "https://login.microsoftonline.com/x",
        "Accounts_OAuth_Custom-Entra-secret": "s3cret", "SAML_Custom_Default_private_key": "s3cret",
        "SMTP_Password": "s3cret",
    }  # fmt: skip
    rows = [
        {"_id": name, "value": value, "_updatedAt": AT, "hidden": True} for name, value in settings.items()
    ]
    database["rocketchat_settings"].insert_many(rows)
    event = {"t": "settings.changed", "ts": AT, "actor": {"type": "user", "username": "mallory"}}
    data = [{"key": "id", "value": "Enable_CSP"}, {"key": "current", "value": True}]
    database["rocketchat_server_events"].insert_one({"_id": "e1", **event, "data": data})
    database["rocketchat_permissions"].insert_one({"_id": "assign-admin-role", "roles": ["admin"]})
    services = {"password": {"bcrypt": "$2b$h4sh"}, "totp": {"enabled": True, "secret": "h4sh"}}
    database["users"].insert_many(
        [
            {"_id": "a", "username": "anna", "roles": ["admin"], "lastLogin": AT, "services": services},
            {"_id": "b", "username": "bot", "roles": ["bot"], "active": True,
             "services": {"resume": {"loginTokens": [
                 {**TOKEN, "bypassTwoFactor": True}, {"hashedToken": "h4sh", "when": AT}]}}},
            {"_id": "u", "username": "user", "roles": ["user"], "services": services},
        ]
    )  # fmt: skip
    hook = {"name": "out", "type": "webhook-outgoing", "enabled": True, "urls": ["http://x"], "token": "h4sh"}
    database["rocketchat_integrations"].insert_many(
        [{"_id": "i1", **hook, "scriptEnabled": True}, {"_id": "i2", **hook, "enabled": False}]
    )


def test_settings_are_read_even_if_they_are_hidden_and_no_secret_is(uri: str) -> None:
    seen = MongoPosture(uri).read_chat(["Accounts_RegistrationForm", "Enable_CSP", "Not_There"])
    assert seen.settings == {
        "Accounts_RegistrationForm": "Public", "Enable_CSP": True, "Accounts_OAuth_Custom-Entra": True,
        "Accounts_OAuth_Custom-Entra-url": "https://login.microsoftonline.com/x",
    }  # fmt: skip
    assert seen.changes["Enable_CSP"] == SettingChange(AT, "mallory")
    assert seen.changes["Accounts_RegistrationForm"] == SettingChange(AT)


def test_people_tokens_and_webhooks_are_read_without_any_hash(uri: str) -> None:
    seen = MongoPosture(uri).read_chat([])
    anna, bot = sorted(seen.accounts, key=lambda one: one.username)
    assert (anna.is_admin, anna.active, anna.has_second_factor, anna.last_login) == (True, True, True, AT)
    assert (bot.is_admin, bot.has_second_factor) == (False, False)
    assert bot.tokens == (AccessToken("ci", AT, bypasses_two_factor=True),)
    assert [(one.name, one.incoming, one.runs_script) for one in seen.integrations] == [("out", False, True)]
    assert seen.permissions == {"assign-admin-role": frozenset({"admin"})}
    assert "h4sh" not in repr(seen)
    assert "s3cret" not in repr(seen)


@pytest.fixture
def cluster() -> Iterator[KubernetesServer]:
    # Without a level: the pods of these tests are what a restricted namespace does not let in.
    with open_namespaces({}) as started:
        yield started


@pytest.fixture
def restricted() -> Iterator[KubernetesServer]:
    with open_namespaces({"pod-security.kubernetes.io/enforce": "restricted"}) as started:
        yield started


@contextmanager
def open_namespaces(labels: Mapping[str, str]) -> Iterator[KubernetesServer]:
    with open_cluster() as started:
        started.behaviour.paused = True
        meta = {"name": "rocketchat", "labels": labels}
        started.add({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        started.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "monitoring"}})
        started.add(*yaml.safe_load_all((ROOT / "infra" / "chart" / "rbac.yaml").read_text()))
        yield started


def read(cluster: KubernetesServer, folder: Path) -> Any:
    token = cluster.token_for("groundcrew", "rocketchat")
    kubeconfig = Secret(cluster.kubeconfig(folder / "kubeconfig", token=token).read_text())
    return connect_cluster_posture(kubeconfig).read_namespace("rocketchat")


def pod(name: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "registry.example/app:1.2", **spec.pop("container", {})}
    meta = {"name": name, "namespace": "rocketchat", **spec.pop("meta", {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {**spec, "containers": [container]}}


def test_pods_are_told_by_their_workload_with_what_they_may_do(
    cluster: KubernetesServer, tmp_path: Path
) -> None:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "agent-6d5f7c9b8", "uid": "u"}
    host = {"name": "etc", "hostPath": {"path": "/etc"}}
    context = {"privileged": True, "capabilities": {"add": ["SYS_ADMIN", "CHOWN"]}}
    cluster.add(
        pod("fine", container={"image": "app@sha256:" + "0" * 64}),
        pod("agent-6d5f7c9b8-abcde", meta={"ownerReferences": [owner]}, hostNetwork=True, volumes=[host],
            container={"image": "registry.example:5000/agent", "securityContext": context}),
    )  # fmt: skip
    agent, fine = read(cluster, tmp_path).pods
    assert agent.name == "agent"
    assert agent.risks == ("capability SYS_ADMIN", "hostNetwork", "hostPath /etc", "privileged")
    assert agent.floating_images == ("registry.example:5000/agent",)
    assert (fine.name, fine.risks, fine.floating_images) == ("fine", (), ())


def test_the_level_is_unknown_without_the_right_and_known_with_it(
    restricted: KubernetesServer, tmp_path: Path
) -> None:
    assert read(restricted, tmp_path).enforced is None
    restricted.add(*yaml.safe_load_all((ROOT / "infra" / "chart" / "rbac-hardening.yaml").read_text()))
    assert read(restricted, tmp_path).enforced == "restricted"


class Arm:
    """Lists resources as `ArmClient` does."""

    def __init__(self, **found: list[dict[str, Any]]) -> None:
        self._found = found

    def list_resources(self, kind: str, _version: str, _doing: str) -> list[dict[str, Any]]:
        return self._found[kind.rpartition("/")[2]]


def network(name: str, rules: list[dict[str, Any]], **used: Any) -> dict[str, Any]:
    return {
        "name": name,
        "properties": {"securityRules": [{"name": "r", "properties": r} for r in rules], **used},
    }


def test_rules_are_read_in_the_singular_and_the_plural_and_only_inbound_ones() -> None:
    rules = [
        {"direction": "Inbound", "access": "Allow", "priority": 100, "protocol": "Tcp",
         "sourceAddressPrefix": "*", "destinationPortRange": "22"},
        {"direction": "Inbound", "access": "Deny", "priority": 200, "protocol": "*",
         "sourceAddressPrefixes": ["10.0.0.0/8", "Internet"], "destinationPortRanges": ["80", "100-200"]},
        {"direction": "Outbound", "access": "Allow", "priority": 100, "destinationPortRange": "*"},
    ]  # fmt: skip
    subnet = {"id": "/subnets/A"}
    groups = [network("used", rules, subnets=[subnet]), network("unused", rules)]
    inside = {"properties": {"subnet": {"id": "/SUBNETS/a"}}}
    nics = [
        {"name": "by-subnet", "properties": {"ipConfigurations": [inside]}},
        {"name": "own", "properties": {"networkSecurityGroup": {"id": "x"}}},
        {"name": "bare", "properties": {"ipConfigurations": [{"properties": {"subnet": {"id": "/b"}}}]}},
    ]
    arm = Arm(networkSecurityGroups=groups, networkInterfaces=nics)
    seen = AzureNetwork(arm).read_network()  # type: ignore[arg-type]
    (group,) = seen.groups
    assert group.rules == (
        NetworkRule("r", 100, True, "Tcp", ("*",), ("22",)),
        NetworkRule("r", 200, False, "*", ("10.0.0.0/8", "Internet"), ("80", "100-200")),
    )
    assert seen.unguarded == ("bare",)


@pytest.fixture
def chat() -> Iterator[RestServer]:
    with RestServer() as server:
        server.state.add_user(ChatUser("adm", "anna", ["admin"], PASSWORD))
        yield server
        assert describe_faults(rocketchat_api(), server) == []


def writer(chat: RestServer, password: str = PASSWORD) -> ChatSettings:
    token = chat.state.add_token(chat.state.users["adm"], f"t{len(chat.state.users['adm'].tokens)}")
    return ChatSettings(connect_chat(chat.url, "adm", Secret(token), Secret(password)))


def test_a_setting_is_changed_with_a_second_factor(chat: RestServer) -> None:
    writer(chat).set_setting("Accounts_RegistrationForm", "Disabled")
    assert chat.state.settings["Accounts_RegistrationForm"] == "Disabled"


def test_settings_that_are_not_there_and_rights_that_are_missing_are_told_apart(chat: RestServer) -> None:
    with pytest.raises(NotFound, match="no such setting, or hides it: Not_There"):
        writer(chat).set_setting("Not_There", True)
    with pytest.raises(Refused, match="second factor"):
        writer(chat, "wrong").set_setting("Enable_CSP", False)
    chat.state.permissions["edit-privileged-setting"] = []
    with pytest.raises(Refused, match="does not allow it"):
        writer(chat).set_setting("Enable_CSP", False)
    chat.broken = 1
    with pytest.raises(Unavailable):
        writer(chat).set_setting("Enable_CSP", False)
    assert chat.state.settings["Enable_CSP"] is True


def test_a_provider_is_added_once_with_settings_that_can_be_set(chat: RestServer) -> None:
    settings, base = writer(chat), "Accounts_OAuth_Custom-Entra"
    settings.add_provider("entra")
    settings.set_setting(f"{base}-merge_users", False)
    settings.set_setting(f"{base}-scope", "openid profile")
    settings.add_provider("entra")
    assert chat.state.settings[f"{base}-scope"] == "openid profile"
    assert chat.state.settings[base] is False


def test_the_last_call_of_each_integration_that_is_on_is_read_and_no_text(uri: str) -> None:
    on = {"enabled": True, "type": "webhook-outgoing"}
    hooks = [
        {"_id": "a", "name": "jira`@all", **on},
        {"_id": "b", "name": "ci", **on, "scriptEnabled": True, "scriptError": {"name": "s3cret"}},
        {"_id": "c", "name": "never", **on},
        {"_id": "d", "name": "off", **on, "enabled": False},
        {"_id": "e", "name": "in", "enabled": True, "type": "webhook-incoming", "scriptError": {"x": 1}},
    ]
    failed = {"error": True, "step": "after-http-call", "data": {"text": "s3cret"}, "httpResult": "s3cret"}
    calls = [
        {"integration": {"_id": "a"}, "_createdAt": AT - timedelta(days=1), "finished": True, "step": "old"},
        {"integration": {"_id": "a"}, "_createdAt": AT, **failed},
        {"integration": {"_id": "b"}, "_createdAt": AT, "finished": True, "step": "done"},
    ]
    with pymongo.MongoClient[dict[str, Any]](uri) as client:
        client["probed"]["rocketchat_integrations"].insert_many(hooks)
        client["probed"]["rocketchat_integration_history"].insert_many(calls)
    found = MongoIntegrationNotes(uri, "probed").read_integrations()
    assert list(found) == [
        IntegrationState("jiraall", True, False, True, "after-http-call", AT),
        IntegrationState("ci", True, True, False, "done", AT),
        IntegrationState("never", outgoing=True),
        IntegrationState("in"),
    ]
    assert "s3cret" not in repr(found)
