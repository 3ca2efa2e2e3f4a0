"""What of a chart's schemas Helm gets to see: nothing that it would fetch."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from typing import Any

import pytest

from shared.adapters import kubernetes_schemas
from shared.adapters.helm.schemas import without_fetching
from shared.formats.tarball import read_files
from shared.kernel.errors import Refused

FAR = "http://169.254.169.254/latest/meta-data"
CHART = b"apiVersion: v2\nname: inner\nversion: 1.0.0\n"


def schema(value: Any) -> dict[str, bytes]:
    return {"values.schema.json": json.dumps(value).encode()}


def packed(files: dict[str, bytes], top: str = "inner/") -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(top + name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return held.getvalue()


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"$ref": FAR}, id="another host"),
        pytest.param({"$ref": "file:///etc/passwd"}, id="a file"),
        pytest.param({"$id": FAR, "$ref": "other.json"}, id="relative to its id"),
        pytest.param({"$ref": ""}, id="nothing"),
        pytest.param({"properties": {"a": [{"not": {"$ref": FAR}}]}}, id="deep inside"),
        pytest.param({"$dynamicRef": FAR}, id="dynamic"),
        pytest.param({"$recursiveRef": FAR}, id="recursive"),
        pytest.param({"$schema": FAR}, id="a schema of schemas"),
        pytest.param({"properties": {"a": {"$id": "x", "$schema": FAR}}}, id="one further in"),
        pytest.param({"$schema": "http://json-schema.org/draft-03/schema#"}, id="a draft Helm has not"),
        pytest.param({"$schema": "https://http://json-schema.org/schema"}, id="hardly a draft"),
    ],
)
def test_a_schema_that_refers_to_another_document_is_refused_and_named(value):
    with pytest.raises(Refused, match=r"values\.schema\.json") as caught:
        without_fetching(schema(value))
    assert caught.value.hint


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"{", id="cut off"),
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff{}", id="not UTF-8"),
        pytest.param('\ufeff{"$ref": "#"}'.encode(), id="a mark before it, which Helm skips"),
        pytest.param(b"[" * 100_000, id="too deep"),
        pytest.param(json.dumps({"$ref": "#"}).encode("utf-16"), id="UTF-16"),
    ],
)
def test_a_schema_that_is_no_json_is_refused(data):
    with pytest.raises(Refused, match="not JSON in UTF-8"):
        without_fetching({"values.schema.json": data})


def test_of_a_reference_that_comes_twice_both_count():
    for first, second in ((FAR, "#"), ("#", FAR)):
        twice = f'{{"$ref": "{first}", "$ref": "{second}"}}'.encode()
        with pytest.raises(Refused):
            without_fetching({"values.schema.json": twice})


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"$ref": "#/$defs/a", "$defs": {"a": {}}}, id="a place in it"),
        pytest.param({"$id": FAR, "$ref": "#a"}, id="a place in it by its id"),
        pytest.param({"properties": {"$ref": {"type": "string"}}}, id="a value of that name"),
        pytest.param({"description": FAR}, id="words"),
        pytest.param(True, id="anything goes"),
    ],
)
def test_what_stays_in_the_document_passes_as_it_is(value):
    assert without_fetching(schema(value)) == schema(value)


INNER = {"Chart.yaml": CHART, **schema({"$ref": FAR})}


@pytest.mark.parametrize(
    ("files", "where"),
    [
        pytest.param(
            {f"charts/a/{name}": data for name, data in INNER.items()}, "charts/a/values", id="a folder"
        ),
        pytest.param({"charts/a.tgz": packed(INNER)}, "charts/a.tgz/values", id="an archive"),
        pytest.param(
            {"charts/a.tgz": packed({"Chart.yaml": CHART, "charts/b.tgz": packed(INNER)})},
            "charts/a.tgz/charts/b.tgz/values",
            id="an archive in an archive",
        ),
    ],
)
def test_the_charts_within_are_held_to_the_same(files, where):
    with pytest.raises(Refused, match=where):
        without_fetching(files)


def test_an_archive_is_handed_on_as_it_was_read_here():
    """Another reader may find more in it: here a second stream, which Go goes on with and Python does not."""
    stream = gzip.decompress(packed({"Chart.yaml": CHART}))
    end = len(CHART) + (-len(CHART) % 512) + 512
    sent = gzip.compress(stream[:end]) + packed(INNER)
    (handed,) = without_fetching({"charts/a.tgz": sent}).values()
    assert read_files([handed], ["."]) == {"Chart.yaml": CHART}
    assert FAR.encode() not in gzip.decompress(handed)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"no archive", id="no archive"),
        pytest.param(packed({"Chart.yaml": bytes(6 << 20)}), id="a file too large"),
        pytest.param(packed({"Chart.yaml": CHART}, top=""), id="no folder"),
        pytest.param(packed({"../Chart.yaml": CHART}), id="a way out"),
        pytest.param(packed({f"{n}": bytes(4 << 20) for n in range(9)}), id="a bomb"),
    ],
)
def test_an_archive_that_is_not_that_of_a_chart_is_refused_with_its_name(data):
    with pytest.raises(Refused, match=r"charts/a\.tgz"):
        without_fetching({"charts/a.tgz": data})


def test_charts_are_not_followed_for_ever():
    data = packed({"Chart.yaml": CHART})
    for _ in range(6):
        data = packed({"Chart.yaml": CHART, "charts/a.tgz": data})
    with pytest.raises(Refused, match="too deep"):
        without_fetching({"charts/a.tgz": data})


def test_an_archive_elsewhere_is_a_file_like_any_other():
    files = {"files/a.tgz": b"whatever", "charts/a/files/b.tgz": b"it is"}
    assert without_fetching(files) == files


@pytest.mark.parametrize(
    ("name", "fits"),
    [("data", True), ("a-1", True), ("extraConfig", False), ("a.b", False), ("", False), ("a" * 64, False)],
)
def test_names_within_pods_are_dns_labels(name, fits):
    """As the API server has it; the schemas take any text."""
    spec = {"containers": [{"name": "c", "image": "i"}], "volumes": [{"name": name, "emptyDir": {}}]}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    findings = kubernetes_schemas.validate([manifest], "1.34")
    assert [one.where for one in findings] == ([] if fits else ["Pod/p: volumes[0].name"])
