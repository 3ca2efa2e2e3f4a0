"""What both roots share is the same in both, examples fit their variables, and nothing secret is in them."""

from __future__ import annotations

import re

import pytest

from tests.infra import hcl

each_root = pytest.mark.parametrize("folder", hcl.ROOTS)


@pytest.mark.parametrize("name", ["app.tf", "app_variables.tf"])
def test_what_surrounds_the_server_is_the_same_in_both_roots(name: str) -> None:
    one, other = ((hcl.TERRAFORM / folder / name).read_text(encoding="utf-8") for folder in hcl.ROOTS)
    assert one == other


@each_root
def test_the_example_gives_every_variable_that_has_no_default(folder: str) -> None:
    text = (hcl.TERRAFORM / folder / "terraform.tfvars.example").read_text(encoding="utf-8")
    given = set(re.findall(r"^(\w+) *=", text, re.MULTILINE))
    variables = hcl.load_all()[folder]["variable"]
    assert (
        {name for name, bodies in variables.items() if "default" not in bodies[0]} <= given <= set(variables)
    )


@each_root
def test_the_state_is_remote_and_opened_without_a_key(folder: str) -> None:
    assert "azurerm" in hcl.load_all()[folder]["terraform"][0]["backend"]
    text = (hcl.TERRAFORM / folder / "backend.hcl.example").read_text(encoding="utf-8")
    assert re.search(r"^use_azuread_auth +=  *true", text, re.MULTILINE)
    assert "access_key" not in text


def test_each_root_has_a_state_of_its_own() -> None:
    texts = [(hcl.TERRAFORM / f / "backend.hcl.example").read_text(encoding="utf-8") for f in hcl.ROOTS]
    keys = [re.findall(r'^key +=  *"(.*)"', text, re.MULTILINE) for text in texts]
    assert len({key for (key,) in keys}) == len(hcl.ROOTS)


def test_every_variable_with_bounds_is_validated_with_a_cure() -> None:
    for folder in hcl.ROOTS:
        for name, bodies in hcl.load_all()[folder]["variable"].items():
            for rule in bodies[0].get("validation", []):
                message = rule["error_message"]
                assert message.startswith(name), f"{folder}: {name} is not named in: {message}"


@each_root
def test_the_roots_outputs_say_what_to_do_next(folder: str) -> None:
    output = hcl.load_all()[folder]["output"]
    assert "from-nothing-to-running.md" in output["next"][0]["value"]
    assert not any(bodies[0].get("sensitive") for bodies in output.values())


def test_no_secret_is_made_or_taken_by_terraform() -> None:
    """State keeps what it is given, in the clear: secrets are put into the vault by a person."""
    kinds = {type_name for _, type_name, _, _ in hcl.resources()}
    assert not kinds & {"azurerm_key_vault_secret", "random_password", "tls_private_key"}
    for folder in hcl.ROOTS:
        assert not [n for n in hcl.load_all()[folder]["variable"] if re.search(r"password|secret|token", n)]
