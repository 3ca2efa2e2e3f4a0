"""Why checkov's findings stay: the list itself. tests/real/test_checkov.py holds it to what checkov finds."""

from __future__ import annotations

import re

import pytest

from local.real.terraform_scan import EXCEPTIONS, Finding, compare, read_exceptions
from shared.kernel.errors import Corrupt
from tests.infra import hcl


def test_each_exception_is_about_a_resource_that_is_there() -> None:
    named = {(folder, f"{kind}.{name}") for folder, kind, name, _ in hcl.resources()}
    for finding in read_exceptions(EXCEPTIONS.read_text(encoding="utf-8")):
        match = re.fullmatch(r"module\.(\w+)\.([a-z_]+\.\w+)(\[.*\])?", finding.resource)
        assert match, finding
        assert (f"modules/{match[1]}", match[2]) in named, finding


A, B = Finding("CKV_1", "a"), Finding("CKV_2", "b")


def test_a_new_finding_and_an_old_reason_are_told() -> None:
    assert compare([A, B], [A, B]) == []
    assert compare([A], [B]) == ["CKV_1 a: change it, or give a reason", "CKV_2 b: is no finding; remove it"]


@pytest.mark.parametrize(
    "text",
    [
        "- {check: CKV_1, resources: [a]}",
        "- {check: CKV_1, resources: [a], reason: ' '}",
        "- {check: CKV_1, resources: [a], reason: x}\n- {check: CKV_1, resources: [a], reason: y}",
    ],
    ids=["none", "empty", "twice"],
)
def test_each_exception_has_one_reason(text: str) -> None:
    with pytest.raises(Corrupt, match="needs one reason"):
        read_exceptions(text)
