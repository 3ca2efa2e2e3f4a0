"""Which values the templates read: a typo is a finding, what is read in a roundabout way is not."""

from __future__ import annotations

import pytest

from shared.deploy.chart.read_paths import find_paths_in_values, find_read_paths, find_unread
from shared.formats.chartyaml import find_anchored, read_values


def reads(*templates: str) -> set[str] | None:
    found = find_read_paths({f"templates/{at}.yaml": text.encode() for at, text in enumerate(templates)})
    return None if found is None else {".".join(path) for path in found}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ .Values.host }}", {"host"}),
        ("{{ $.Values.ingress.tls }}", {"ingress.tls"}),
        ("{{ $root.Values.host }}", {"host"}),
        ("{{- with (.Values.a).b }}{{ .c }}{{ end }}", {"a"}),
        ('{{ index .Values "a-b" "c" }}', {"a-b.c"}),
        ('{{ if hasKey .Values "nats" }}{{ get $.Values "x" }}{{ end }}', {"nats", "x"}),
        ('{{ dig "a" "b" "none" .Values }}', {"a.b.none"}),
        ('{{ include "c" (dict "Values" $.Values "Release" $.Release) }}', set()),
        ("{{/* .Values.old is gone */}}{{ .Values.new }}", {"new"}),
        ("{{ .Values.a }}{{ .MyValues.b }}", {"a"}),
        ("no template", set()),
    ],
)
def test_a_reading_is_found(template: str, expected: set[str]) -> None:
    assert reads(template, "kind: ConfigMap") == expected


@pytest.mark.parametrize(
    "template",
    [
        "{{ toYaml .Values }}",
        "{{ $v := .Values }}{{ $v.host }}",
        "{{ range $key, $value := $.Values }}",
        "{{ index .Values $name }}",
        "{{ merge .Values (dict) | toJson }}",
    ],
)
def test_where_all_values_are_taken_nothing_can_be_told(template: str) -> None:
    assert reads("{{ .Values.host }}", template) is None


def test_what_is_read_whole_covers_all_below_and_a_part_only_itself() -> None:
    paths = [("resources",), ("probe", "path"), ("a", "b", "c")]
    values = {
        "resources": {"limits": {"cpu": 1}},
        "probe": {"path": "/livez", "pth": 1},
        "a": {"b": {"c": 1, "d": 2}, "e": {"f": 1}},
        "hots": "typo",
        "gone": None,
        "scalar": 1,
    }
    assert [".".join(path) for path in find_unread(values, paths)] == [
        "probe.pth", "a.b.d", "a.e", "hots", "scalar"
    ]  # fmt: skip


def test_texts_among_the_values_are_templates_too() -> None:
    values = {"extraEnv": "- name: A\n  value: {{ .Values.mine.a }}", "list": [{"x": "{{ $.Values.other }}"}]}
    assert find_paths_in_values(values) == {("mine", "a"), ("other",)}


def test_a_key_that_holds_an_anchor_is_there_for_others() -> None:
    text = (
        "scheduling:\n  tolerations: &all\n    - key: a\n"
        "tolerations: *all\nshort: {a: &b 1}\nurl: http://x/?a=1&b=2\nquoted: 'a & b'\n"
    )
    found = find_anchored(read_values(text, "values.yaml"), text)
    assert {path[0] for path in found} == {"scheduling", "short"}
    assert ("scheduling", "tolerations") in found


@pytest.mark.timeout(30)
@pytest.mark.parametrize("part", ["{{/*", 'dig "a" ', "{{- /* x", "$.Values ", '"Values" '])
def test_what_a_stranger_repeats_a_hundred_thousand_times_is_read_in_one_pass(part: str) -> None:
    """By the time that a pull request is planned nobody has reviewed its templates."""
    reads(part * 100_000)


def test_two_comments_hide_what_is_in_them_and_not_what_is_between() -> None:
    template = "{{- /* .Values.a */ -}}{{ .Values.b }}{{/* .Values.c */}}{{/* {{ .Values.d }}"
    assert reads(template) == {"b", "d"}
