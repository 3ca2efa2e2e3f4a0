"""Versions as Rocket.Chat, Helm and Kubernetes write them."""

from __future__ import annotations

import pytest

from shared.kernel.versions import Version


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("8.2.1", Version(8, 2, 1)),
        ("v8.2.1", Version(8, 2, 1)),
        ("8.2", Version(8, 2, 0)),
        ("8.2.1-debian-12-r0", Version(8, 2, 1)),
        ("8.2.1-rc.0", Version(8, 2, 1)),
        ("1.31.2+k3s1", Version(1, 31, 2)),
        ("v1.31-x", Version(1, 31, 0)),
        ("8.0.13.4", Version(8, 0, 13)),
        ("0.0.0", Version(0, 0, 0)),
        ("9999.9999.999999", Version(9999, 9999, 999999)),
    ],
)
def test_three_numbers_are_a_version_whatever_comes_after_them(text: str, version: Version) -> None:
    assert Version.parse(text) == version


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8",
        "latest",
        "20260301",
        "10000.1",
        "8.10000",
        "v",
        "8.",
        " 8.2",
        "8.2 ",
        "V8.2",
        "٨.٢",
        "8.2.1é",
    ],
)
def test_anything_else_is_none(text: str) -> None:
    assert Version.parse(text) is None


def test_versions_are_ordered_by_their_numbers() -> None:
    assert Version(8, 2, 9) < Version(8, 2, 10) < Version(8, 10, 0) < Version(10, 0, 0)
    assert (str(Version(8, 2, 1)), Version(8, 2, 1).series) == ("8.2.1", "8.2")
