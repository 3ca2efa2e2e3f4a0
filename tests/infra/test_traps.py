"""What is easily got wrong on Azure, and is not told by a plan: each of these cost somebody a night."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.infra import hcl

APP = "modules/functions"


def rules() -> dict[str, dict[str, Any]]:
    group = hcl.resource("modules/network", "azurerm_network_security_group", "machines")
    return {rule["name"]: rule for rule in group["security_rule"]}


def test_only_the_web_is_open_to_the_internet() -> None:
    anywhere = {
        name: rule["destination_port_ranges"]
        for name, rule in rules().items()
        if rule["access"] == "Allow" and rule.get("source_address_prefix") in ("*", "Internet", "0.0.0.0/0")
    }
    assert anywhere == {"allow-web": ["80", "443"]}


def test_the_rest_of_the_network_is_denied_after_what_is_allowed() -> None:
    deny = rules()["deny-network"]
    assert (deny["access"], deny["source_address_prefix"]) == ("Deny", "VirtualNetwork")
    assert (deny["destination_port_range"], deny["protocol"]) == ("*", "*")
    others = [rule["priority"] for name, rule in rules().items() if name != "deny-network"]
    assert max(others) < deny["priority"] < 65000


def test_the_api_and_mongodb_are_reached_from_the_functions_subnet_only() -> None:
    rule = rules()["allow-functions"]
    assert rule["source_address_prefixes"] == "${azurerm_subnet.functions.address_prefixes}"
    for root, ports in {"microk8s": [16443, 27017], "aks": [27017]}.items():
        network = {name: arguments for name, _, arguments in hcl.calls(root)}["network"]
        assert network["functions_ports"] == ports


def test_rules_are_written_within_their_group_only() -> None:
    # Rules as resources of their own and rules within the group undo each other at every apply.
    assert "azurerm_network_security_rule" not in {type_name for _, type_name, _, _ in hcl.resources()}


def test_the_functions_subnet_is_delegated_as_flex_consumption_wants_it() -> None:
    subnet = hcl.resource("modules/network", "azurerm_subnet", "functions")
    assert subnet["delegation"][0]["service_delegation"][0]["name"] == "Microsoft.App/environments"
    endpoints = {one["service"] for one in subnet["service_endpoint"]}
    assert endpoints == {"Microsoft.Storage", "Microsoft.KeyVault"}


@pytest.mark.parametrize("folder", hcl.ROOTS)
def test_the_provider_signs_in_to_storage_and_registers_what_is_used(folder: str) -> None:
    provider = hcl.load_all()[folder]["provider"]["azurerm"][0]
    assert provider["storage_use_azuread"] is True
    assert provider["features"][0]["storage"][0]["data_plane_available"] is False
    listed = set(provider["resource_providers_to_register"])
    assert {"Microsoft.App", "Microsoft.Web", "Microsoft.EventGrid", "Microsoft.Storage"} <= listed
    assert ("Microsoft.ContainerService" in listed) is (folder == "aks")


@pytest.mark.parametrize(("folder", "name"), [("modules/storage", "backups"), (APP, "host")])
def test_storage_accounts_have_no_keys_and_nothing_public(folder: str, name: str) -> None:
    account = hcl.resource(folder, "azurerm_storage_account", name)
    assert account["shared_access_key_enabled"] is False
    assert account["default_to_oauth_authentication"] is True
    assert account["local_user_enabled"] is False
    assert account["allow_nested_items_to_be_public"] is False
    assert account["cross_tenant_replication_enabled"] is False
    assert account["min_tls_version"] == "TLS1_2"


def test_backups_and_secrets_are_behind_a_firewall() -> None:
    backups = hcl.resource("modules/storage", "azurerm_storage_account", "backups")["network_rules"][0]
    vault = hcl.resource("modules/keyvault", "azurerm_key_vault", "this")["network_acls"][0]
    assert (backups["default_action"], backups["bypass"]) == ("Deny", ["None"])
    assert (vault["default_action"], vault["bypass"]) == ("Deny", "None")


def test_backups_are_locked_only_by_their_owners_word_and_never_half() -> None:
    policy = hcl.resource("modules/storage", "azurerm_storage_container_immutability_policy", "backups")
    assert policy["count"] == "${var.lock_backups ? 1 : 0}"
    assert policy["locked"] is True  # an unlocked policy protects nothing
    for root in hcl.ROOTS:
        lock = hcl.load_all()[root]["variable"]["lock_backups"][0]
        assert lock["default"] is False
        assert lock["description"].startswith("FOR EVER.")


def test_lifecycle_rules_delete_nothing_where_the_app_or_a_lock_has_the_say() -> None:
    rule = hcl.resource("modules/storage", "azurerm_storage_management_policy", "backups")["dynamic"]["rule"][
        0
    ]
    assert rule["for_each"] == '${var.retention == "lifecycle" && !var.lock_backups ? var.keep_days : {}}'
    content = rule["content"][0]
    assert content["filters"][0]["prefix_match"] == [
        "${azurerm_storage_container.backups.name}/sets/${rule.key}/"
    ]


def test_what_cannot_be_made_again_is_not_destroyed_by_a_slip() -> None:
    kept = {
        (type_name, name)
        for _, type_name, name, body in hcl.resources()
        if any(rule.get("prevent_destroy") is True for rule in body.get("lifecycle", []))
    }
    assert kept == {
        ("azurerm_managed_disk", "data"),
        ("azurerm_storage_account", "backups"),
        ("azurerm_storage_container", "backups"),
        ("azurerm_key_vault", "this"),
    }
    lock = hcl.resource("modules/storage", "azurerm_management_lock", "backups")
    assert lock["lock_level"] == "CanNotDelete"


def test_the_data_disk_cannot_be_exported_and_is_found_by_its_lun() -> None:
    disk = hcl.resource("modules/vm", "azurerm_managed_disk", "data")
    assert (disk["network_access_policy"], disk["public_network_access_enabled"]) == ("DenyAll", False)
    attached = hcl.resource("modules/vm", "azurerm_virtual_machine_data_disk_attachment", "data")
    assert attached["lun"] == "${var.data_disk_lun}"


def test_a_new_image_or_another_cloud_init_does_not_replace_the_machine() -> None:
    vm = hcl.resource("modules/vm", "azurerm_linux_virtual_machine", "this")
    assert vm["lifecycle"][0]["ignore_changes"] == ["${custom_data}", "${source_image_reference}"]
    assert "admin_password" not in vm


def properties() -> dict[str, Any]:
    found: dict[str, Any] = hcl.resource(APP, "azapi_resource", "app")["body"]["properties"]
    return found


def test_the_app_takes_https_only_runs_python_3_13_and_reads_the_vault_by_its_own_identity() -> None:
    assert properties()["httpsOnly"] is True
    assert properties()["keyVaultReferenceIdentity"] == "SystemAssigned"
    assert properties()["functionAppConfig"]["runtime"] == {"name": "python", "version": "3.13"}
    storage = properties()["functionAppConfig"]["deployment"]["storage"]
    assert storage["authentication"] == {"type": "SystemAssignedIdentity"}
    assert hcl.resource(APP, "azurerm_service_plan", "this")["sku_name"] == "FC1"


def test_nobody_publishes_the_app_with_a_password() -> None:
    policy = hcl.resource(APP, "azapi_update_resource", "no_passwords")
    assert policy["for_each"] == '${toset(["ftp", "scm"])}'
    assert policy["body"] == {"properties": {"allow": False}}


def test_the_tag_that_azure_adds_is_left_alone() -> None:
    ignored = hcl.resource(APP, "azapi_resource", "app")["lifecycle"][0]["ignore_changes"]
    assert ignored == ['${tags["hidden-link: /app-insights-resource-id"]}']


def test_references_to_the_vault_follow_the_newest_version() -> None:
    text = hcl.local("modules/settings", "references")
    assert re.search(r'@Microsoft\.KeyVault\(SecretUri=\$\{var\.vault_uri\}secrets/\$\{[^}]+\}/\)"', text)


def test_telemetry_is_taken_from_identities_only() -> None:
    for type_name in ("azurerm_application_insights", "azurerm_log_analytics_workspace"):
        assert hcl.resource(APP, type_name, "this")["local_authentication_enabled"] is False
    platform = hcl.local("modules/settings", "platform")
    assert platform["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"] == "Authorization=AAD"


def test_the_alarm_on_silence_resolves_by_itself_and_waits_for_the_first_deployment() -> None:
    alert = hcl.resource(APP, "azurerm_monitor_scheduled_query_rules_alert_v2", "silence")
    assert alert["auto_mitigation_enabled"] is True
    assert alert["enabled"] == "${var.deployed}"
    criteria = alert["criteria"][0]
    asked = (criteria["time_aggregation_method"], criteria["operator"], criteria["threshold"])
    assert asked == ("Count", "LessThan", 1)


def test_events_are_subscribed_after_the_first_deployment_only() -> None:
    subscribed = hcl.resource(
        "modules/events", "azurerm_eventgrid_system_topic_event_subscription", "functions"
    )
    assert subscribed["for_each"] == "${var.deployed ? local.subscriptions : {}}"
    endpoint = subscribed["azure_function_endpoint"][0]
    assert endpoint["function_id"] == "${var.app_id}/functions/${each.key}"


def test_a_budget_begins_with_a_month_and_is_not_made_anew_by_the_next() -> None:
    budget = hcl.resource("modules/budget", "azurerm_consumption_budget_resource_group", "this")
    assert "YYYY-MM-01'T'00:00:00Z" in budget["time_period"][0]["start_date"]
    assert budget["lifecycle"][0]["ignore_changes"] == ["${time_period}"]


def test_the_cluster_is_signed_in_to_by_people_and_rotates_its_nodes() -> None:
    cluster = hcl.resource("modules/aks", "azurerm_kubernetes_cluster", "this")
    assert cluster["local_account_disabled"] is True
    assert cluster["oidc_issuer_enabled"] is True
    assert cluster["workload_identity_enabled"] is True
    assert cluster["default_node_pool"][0]["temporary_name_for_rotation"]
    assert cluster["node_provisioning_profile"][0]["mode"] == "Manual"


def test_the_clusters_pods_pass_the_deny_of_the_network() -> None:
    # In an overlay packets between nodes carry the pods' addresses, which are not the network's.
    rule = rules()["allow-machines"]
    assert "var.pods_ranges" in rule["source_address_prefixes"]
    network = {name: arguments for name, _, arguments in hcl.calls("aks")}["network"]
    assert network["pods_ranges"] == ["${local.pods_range}"]


def test_charts_are_pinned() -> None:
    for _, type_name, name, body in hcl.resources():
        if type_name == "helm_release":
            own = str(body["chart"]).startswith("${path.module}/")
            assert own or re.fullmatch(r"v?\d+\.\d+\.\d+", body["version"]), name
