"""What Go's two YAML parsers make of a plain scalar."""

from __future__ import annotations

import math

import pytest

from shared.formats.chartyaml import read_values
from shared.formats.goyaml import as_helm, as_sops
from shared.kernel.errors import Refused


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("FALSE", False),
        ("", None),
        ("~", None),
        ("Null", None),
        ("8.2.1", "8.2.1"),
        ("8.2", 8.2),
        ("12:30", "12:30"),
        ("1:00:00", "1:00:00"),
        ("1e3", 1000.0),
        ("1.e3", 1000.0),
        (".5", 0.5),
        ("+.5", 0.5),
        ("..", ".."),
        ("-", "-"),
        ("0777", 511),
        ("0o17", 15),
        ("0x1F", 31),
        ("-0b11", -3),
        ("08", 8.0),
        ("1_000", 1000),
        ("_1", "_1"),
        ("18446744073709551615", 18446744073709551615),
        ("18446744073709551616", 18446744073709551616.0),
        ("-9223372036854775808", -9223372036854775808),
        ("-9223372036854775809", -9223372036854775809.0),
        ("0xFFFFFFFFFFFFFFFF", 18446744073709551615),
        ("0x1FFFFFFFFFFFFFFFF", "0x1FFFFFFFFFFFFFFFF"),
        ("+0x10", 16),
        ("0X10", 16),
        ("0B11", 3),
        ("0o8", "0o8"),
        ("0b2", "0b2"),
        ("0x", "0x"),
        ("0", 0),
        ("-0", 0),
        ("+7", 7),
        ("1e-3", 0.001),
        ("1E+3", 1000.0),
        ("1.", 1.0),
        ("1.2.3", "1.2.3"),
        ("-.5", -0.5),
        (".5e", ".5e"),
        ("99999999999999999999", 1e20),
        ("1e999", "1e999"),
        ("-1e999", "-1e999"),
        (".inf", math.inf),
        ("+.INF", math.inf),
        ("-.Inf", -math.inf),
        ("١", "١"),
    ],
)
def test_both_read_words_and_numbers_alike(text, value):
    for read in (as_helm, as_sops):
        assert read(text) == value
        assert type(read(text)) is type(value)


@pytest.mark.parametrize(("text", "value"), [("yes", True), ("y", True), ("ON", True), ("off", False)])
def test_yes_is_true_to_helm_and_a_text_to_sops(text, value):
    assert as_helm(text) is value
    assert as_sops(text) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-11-23", "2026-11-23T00:00:00Z"),
        ("2026-1-2 3:4:5.120", "2026-01-02T03:04:05.12Z"),
        ("2001-12-14t21:59:43.10-05:00", "2001-12-14T21:59:43.1-05:00"),
        ("2001-12-14T21:59:43+00:00", "2001-12-14T21:59:43Z"),
        ("2001-12-14T21:59:43", "2001-12-14T21:59:43"),
        ("2001-12-14 21:59:43Z", "2001-12-14 21:59:43Z"),
        ("2026-13-01", "2026-13-01"),
        ("2026-02-30", "2026-02-30"),
        ("2026-11-23 24:00:00", "2026-11-23 24:00:00"),
        ("2026-11-23T01:02:03,5Z", "2026-11-23T01:02:03.5Z"),
        ("2026-11-23T01:02:03.1234567891Z", "2026-11-23T01:02:03.123456789Z"),
        ("2026-11-23T01:02:03.000Z", "2026-11-23T01:02:03Z"),
        ("2026-11-23T01:02:03-00:00", "2026-11-23T01:02:03Z"),
        ("2026-11-23T01:02:03+24:59", "2026-11-23T01:02:03+24:59"),
        ("2026-11-23t01:02:03+24:59", "2026-11-23T01:02:03+24:59"),
        ("2026-11-23t01:02:03+25:00", "2026-11-23t01:02:03+25:00"),
        ("2026-11-23t01:02:03-25:00", "2026-11-23t01:02:03-25:00"),
        ("2026-11-23t01:02:03+05:59", "2026-11-23T01:02:03+05:59"),
        ("2026-11-23t01:02:03+05:60", "2026-11-23t01:02:03+05:60"),
        ("2001-12-14T21:59:43+99:00", "2001-12-14T21:59:43+99:00"),
    ],
)
def test_a_time_is_a_text_to_helm_and_rfc_3339_to_sops(text, told):
    assert as_helm(text) == text
    assert as_sops(text) == told


def test_a_number_of_any_length_takes_no_time():
    for text in ("9" * 1_000_000, "1:" * 1_000_000 + "0", "0x" + "f" * 1_000_000, "1e" + "9" * 1_000_000):
        assert isinstance(as_helm(text), str | float)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            "a: &a '" + "x" * 100_000 + "'\nb: [" + ", ".join(["*a"] * 400) + "]\n", id="a long text"
        ),
        pytest.param("a: [" + "1," * 450_000 + "]\n", id="many values"),
    ],
)
def test_a_file_that_unfolds_to_more_than_a_chart_has_is_refused_while_it_is_read(text: str) -> None:
    with pytest.raises(Refused, match=r"more (text|values) than allowed"):
        read_values(text, "values.yaml")
