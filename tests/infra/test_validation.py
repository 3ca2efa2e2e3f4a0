"""Bad input is refused before anything is made, and the message says what to write instead."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.infra import hcl, tofu

pytestmark = pytest.mark.skipif(tofu.find() is None, reason=tofu.LACKING)

GOOD: dict[str, Any] = {
    "subscription_id": "00000000-0000-0000-0000-000000000000",
    "unique": "a1b2c3",
    "domain": "chat.example.org",
    "admin_addresses": ["203.0.113.7"],
    "alert_emails": ["oncall@example.org"],
    "policy_file": str(hcl.ROOT / "policy.yaml"),
}
MACHINE: dict[str, Any] = {
    # Of no private key: it only has the form of one.
    "ssh_public_key": f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{'x' * 43} example",
    "cloud_init_file": str(hcl.ROOT / "policy.yaml"),  # any file will do here
}


def root(folder: str, into: Path) -> dict[str, Any]:
    """The variables of a root without its resources, and values for them that are good."""
    for name in ("app_variables.tf", "variables.tf"):
        shutil.copy(hcl.TERRAFORM / folder / name, into)
    return GOOD | (MACHINE if folder == "microk8s" else {})


def test_the_terraform_is_formatted() -> None:
    done = tofu.run(hcl.TERRAFORM, "fmt", "-check", "-recursive", "-list=true")
    assert done.stdout == ""


@pytest.mark.parametrize("folder", hcl.ROOTS)
def test_good_input_is_taken(folder: str, tmp_path: Path) -> None:
    assert tofu.plan(tmp_path, root(folder, tmp_path)) == "{}"


@pytest.mark.parametrize("folder", hcl.ROOTS)
def test_the_example_is_taken_as_it_stands(folder: str, tmp_path: Path) -> None:
    good = root(folder, tmp_path)
    example = (hcl.TERRAFORM / folder / "terraform.tfvars.example").read_text(encoding="utf-8")
    (tmp_path / "terraform.tfvars").write_text(example, encoding="utf-8")
    files: dict[str, Any] = {name: good[name] for name in ("policy_file", "cloud_init_file") if name in good}
    assert tofu.plan(tmp_path, files) == "{}"


@pytest.mark.parametrize(
    ("name", "value", "cure"),
    [
        pytest.param("subscription_id", "my subscription", "az account show", id="no subscription"),
        pytest.param(
            "rotated_entries", ["kv-chat/mongodb-uri"], "without the vault's own", id="a vault's name"
        ),
        pytest.param("name", "Rocket Chat", "for example: rocketchat", id="a name with a space"),
        pytest.param("name", "rocketchat-for-all", "3 to 14", id="a name that is too long for a vault"),
        pytest.param("name", "a--b", "single hyphens", id="a name that a vault refuses"),
        pytest.param("unique", "A1!", "openssl rand", id="what no account may be called"),
        pytest.param("location", "West Europe", "westeurope", id="a region's long name"),
        pytest.param("domain", "https://chat.example.org/", "without https://", id="an address for a domain"),
        pytest.param("domain", "chat", "for example: chat.example.org", id="a domain without a dot"),
        pytest.param("dns_zone", "example.com", "is not the zone of domain", id="another domain's zone"),
        pytest.param("dns_zone_resource_group", "rg-dns", "Set dns_zone too", id="a group without a zone"),
        pytest.param("address_space", "10.0.0.0/24", "/22 or larger", id="a network that is too small"),
        pytest.param("admin_addresses", [], "curl -4", id="nobody"),
        pytest.param("admin_addresses", ["203.0.113.7/32"], "without /32", id="what Azure refuses"),
        pytest.param("admin_addresses", ["999.1.1.1"], "neither an IPv4 address", id="no address"),
        pytest.param("admin_addresses", ["10.0.0.7"], "seen from outside", id="a private address"),
        pytest.param("alert_emails", ["oncall"], "oncall@example.org", id="no address of mail"),
        pytest.param("schedules", {"catch_up": "*/15 * * * *"}, "begins with seconds", id="five fields"),
        pytest.param("sign_in_client_id", "groundcrew", "is not the id", id="a name for an id"),
        pytest.param("policy_file", "nowhere.yaml", "Give the path of policy.yaml", id="no policy"),
        pytest.param("backup_replication", "COPIES", "take GRS", id="no kind of copies"),
        pytest.param("soft_delete_days", 1, "7 to 365", id="a bin for a day"),
        pytest.param("immutability_days", 4000, "never lowered", id="eleven years for ever"),
        pytest.param("instance_memory_mb", 1024, "512, 2048 or 4096", id="memory that is not sold"),
        pytest.param("maximum_instances", 0, "1 to 1000", id="no instance"),
        pytest.param("log_quota_gb", 0, "0.1 to 100", id="no logs"),
        pytest.param("tags", {f"t{n}": "x" for n in range(41)}, "Azure takes 50", id="too many tags"),
    ],
)
def test_bad_input_is_refused_with_its_cure(name: str, value: object, cure: str, tmp_path: Path) -> None:
    # The other root's variables are the same file: test_roots.py holds them so.
    assert_refused("microk8s", name, value, cure, tmp_path)


@pytest.mark.parametrize(
    ("folder", "name", "value", "cure"),
    [
        pytest.param("microk8s", "vm_size", "Standard_D4a_v5", "Premium SSDs", id="a size without s"),
        pytest.param("microk8s", "vm_zone", "4", "1, 2 or 3", id="no zone"),
        pytest.param("microk8s", "os_disk_gb", 8, "wants 30", id="a disk that is too small"),
        pytest.param("microk8s", "data_disk_gb", 8, "billed by steps", id="a data disk that is too small"),
        pytest.param("microk8s", "ssh_public_key", "-----BEGIN", "ssh-keygen", id="a private key"),
        pytest.param(
            "microk8s",
            "ssh_public_key",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA you",
            "the whole content",
            id="a public key that was cut off",
        ),
        pytest.param("microk8s", "admin_username", "root", "azureuser", id="root"),
        pytest.param("microk8s", "cloud_init_file", "no.yaml", "infra/bootstrap", id="no cloud-init"),
        pytest.param("aks", "vm_size", "Standard_D4a_v5", "Premium SSDs", id="nodes of a size without s"),
        pytest.param("aks", "node_count", 1, "not highly available", id="one node"),
        pytest.param("aks", "zones", ["1"], "its loss is the loss", id="one zone"),
        pytest.param("aks", "kubernetes_version", "1.34.2", "such as 1.34", id="a patch version"),
        pytest.param("aks", "maintenance", {"day": "Sun", "time": "2"}, "Sunday", id="no day"),
        pytest.param("aks", "mongodb_version", "8", "such as 8.0.16", id="half a version"),
        pytest.param("aks", "mongodb_disk_gb", 8, "billed by steps", id="a volume that is too small"),
    ],
)
def test_bad_input_of_one_root_is_refused_with_its_cure(
    folder: str, name: str, value: object, cure: str, tmp_path: Path
) -> None:
    assert_refused(folder, name, value, cure, tmp_path)


def cloud_init(into: Path, private_address: str, functions_range: str) -> dict[str, Any]:
    text = f"      PRIVATE_ADDRESS={private_address}\n      FUNCTIONS_RANGE={functions_range}\n"
    (into / "cloud-init.yaml").write_text(text, encoding="utf-8")
    return {"cloud_init_file": str(into / "cloud-init.yaml")}


def test_the_script_has_the_addresses_that_the_network_gives(tmp_path: Path) -> None:
    good = root("microk8s", tmp_path) | cloud_init(tmp_path, "10.20.0.10", "10.20.8.0/24")
    assert tofu.plan(tmp_path, good) == "{}"

    told = tofu.plan(tmp_path, good | {"address_space": "10.30.0.0/20"})
    assert "set PRIVATE_ADDRESS=10.30.0.10 and FUNCTIONS_RANGE=10.30.8.0/24" in told


@pytest.mark.parametrize(
    ("private_address", "functions_range"),
    [("10.20.0.1", "10.20.8.0/24"), ("10.20.0.10", "10.20.9.0/24"), ("10.20.0.100", "10.20.8.0/24")],
)
def test_a_script_with_other_addresses_is_refused(
    private_address: str, functions_range: str, tmp_path: Path
) -> None:
    good = root("microk8s", tmp_path) | cloud_init(tmp_path, private_address, functions_range)
    assert "has other addresses than address_space gives" in tofu.plan(tmp_path, good)


def test_the_network_gives_the_addresses_that_are_compared() -> None:
    network = hcl.load_all()["modules/network"]["resource"]["azurerm_subnet"]
    assert network["machines"][0]["address_prefixes"] == ["${cidrsubnet(var.address_space, 2, 0)}"]
    assert network["functions"][0]["address_prefixes"] == ["${cidrsubnet(var.address_space, 4, 8)}"]
    vm = {name: arguments for name, _, arguments in hcl.calls("microk8s")}["vm"]
    assert vm["private_address"] == "${cidrhost(module.network.machines_range, 10)}"


def assert_refused(folder: str, name: str, value: object, cure: str, into: Path) -> None:
    told = tofu.plan(into, root(folder, into) | {name: value})
    assert "Invalid value for variable" in told
    assert name in told
    assert cure in told


def test_every_variable_that_is_validated_is_tested_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    for folder in hcl.ROOTS:
        for name, bodies in hcl.load_all()[folder]["variable"].items():
            if bodies[0].get("validation"):
                assert f'"{name}", ' in text, name
