"""Queues, containers, functions and routes have the same names in the Terraform and in the code."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from tests.infra import code, hcl

# Pages for people, who sign in; whatever else is open asks for a signature or a key, or has nothing to hide.
SIGNED_IN = {"wake", "deploys/{key?}", "chatops/signed-in", "chatops/signed-in/{id}", "status", "health/page",
             "calendar"}  # fmt: skip


def targets(kind: str) -> set[str]:
    return {t.target for t in code.triggers() if t.kind == kind}


def set_of(text: str) -> set[str]:
    """The elements of `toset([…])`."""
    found: set[str] = set(json.loads(re.sub(r"^\$\{toset\((.*)\)\}$", r"\1", text)))
    return found


def test_the_code_has_triggers_of_every_kind() -> None:
    kinds = {t.kind for t in code.triggers()}
    assert kinds == {"route", "timer_trigger", "queue_trigger", "event_grid_trigger"}


def test_the_queues_are_those_that_functions_listen_to() -> None:
    made = hcl.resource("modules/functions", "azurerm_storage_queue", "work")["for_each"]
    assert set_of(made) == targets("queue_trigger")


def test_the_containers_are_those_of_the_code() -> None:
    host = hcl.resource("modules/functions", "azurerm_storage_container", "host")["for_each"]
    backups = hcl.resource("modules/storage", "azurerm_storage_container", "backups")["name"]
    assert set_of(host) == {code.STATE, "deployments"}
    assert backups == code.BACKUPS


def test_events_go_to_every_function_that_hears_them_and_to_no_other() -> None:
    heard = {t.function for t in code.triggers() if t.kind == "event_grid_trigger"}
    assert set(hcl.local("modules/events", "subscriptions")) == heard


def test_silence_is_measured_by_a_timer_that_is_there() -> None:
    alert: Any = hcl.resource(
        "modules/functions", "azurerm_monitor_scheduled_query_rules_alert_v2", "silence"
    )
    named = set(re.findall(r"has '(\w+)'", alert["criteria"][0]["query"]))
    timers = {t.function for t in code.triggers() if t.kind == "timer_trigger"}
    assert len(named) == 1
    assert named <= timers


def test_every_route_either_asks_who_looks_or_is_left_open_by_name() -> None:
    open_paths = {path for path in hcl.local("modules/functions", "open_paths") if path.startswith("/api/")}
    assert open_paths == {f"/api/{route}" for route in targets("route") - SIGNED_IN}
    assert targets("route") >= SIGNED_IN


def test_the_classes_that_expire_are_those_that_the_policy_keeps_by_age() -> None:
    kept = hcl.local("modules/policy", "kept")
    # Sets made by hand are kept until a hand removes them.
    assert set(kept) == set(code.CLASSES) - {"manual"}
    assert set(hcl.local("modules/policy", "counted")) == set(kept)


def test_the_machine_and_the_disks_tag_of_the_policy_are_those_that_are_made() -> None:
    policy = yaml.safe_load((hcl.ROOT / "infra/monitoring/policy.example.yaml").read_text(encoding="utf-8"))
    name = hcl.load_all()["microk8s"]["variable"]["name"][0]["default"]
    assert name in [machine["name"] for machine in policy["power"]["machines"]]
    disk = hcl.resource("modules/vm", "azurerm_managed_disk", "data")
    assert disk["tags"] == "${merge(var.tags, var.snapshot_tag)}"


def test_the_app_is_deployed_under_the_tag_that_azd_looks_for() -> None:
    azure = yaml.safe_load((hcl.ROOT / "azure.yaml").read_text(encoding="utf-8"))
    app = hcl.resource("modules/functions", "azapi_resource", "app")
    (service,) = azure["services"]
    assert f'"azd-service-name" = "{service}"' in app["tags"]
    assert azure["infra"]["provider"] == "terraform"
    assert (hcl.ROOT / azure["infra"]["path"] / "main.tf").is_file()
