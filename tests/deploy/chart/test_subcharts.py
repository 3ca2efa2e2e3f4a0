"""What a chart brings along, and which of its defaults are deployed."""

from __future__ import annotations

import io
import tarfile

import pytest

from shared.deploy.chart.committed_secrets import check_committed_secrets
from shared.deploy.chart.subcharts import MOST_CHARTS, read_chart_tree
from shared.formats.chartyaml import read_values
from shared.kernel.errors import Refused

HEAD = "apiVersion: v2\nname: {name}\nversion: 1.0.0\n"
TOP = (
    HEAD.format(name="chat")
    + """\
dependencies:
  - {name: mongodb, version: 1.x, condition: db.enabled, alias: db}
"""
).encode()
VALUES = b"auth:\n  rootPassword: rocketchatroot\n  existingSecret: db\n"


def packed(name: str = "mongodb", **files: bytes) -> bytes:
    """As helm package does it."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for path, content in {"Chart.yaml": HEAD.format(name=name).encode(), **files}.items():
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return data.getvalue()


def found(files: dict[str, bytes], values: dict | None = None) -> list[str]:
    return [
        str(one)
        for one in check_committed_secrets(read_chart_tree({"Chart.yaml": TOP, **files}), {}, values or {})
        if one.rule == "plaintext-secret"
    ]


FOLDER = {
    "charts/mongodb/Chart.yaml": HEAD.format(name="mongodb").encode(),
    "charts/mongodb/values.yaml": VALUES,
}
PACKED = {"charts/mongodb-1.0.0.tgz": packed(**{"values.yaml": VALUES})}


@pytest.mark.parametrize("files", [FOLDER, PACKED], ids=["a folder", "packed"])
def test_a_password_that_a_chart_brings_along_is_found_where_it_is_deployed(files):
    (one,) = found(files)
    assert "values.yaml: auth.rootPassword" in one
    assert "line 2" in one
    assert "rocketchatroot" not in one


@pytest.mark.parametrize(
    "values",
    [
        {"db": {"auth": {"rootPassword": "ENC[AES256_GCM,data:x]"}}},
        {"db": {"auth": {"rootPassword": None}}},
        {"db": {"auth": "none"}},
        {"db": {"enabled": False}},
    ],
    ids=["replaced", "removed", "all of it replaced", "not used"],
)
def test_a_default_that_is_not_deployed_harms_nobody(values):
    assert found(PACKED, values) == []


def test_by_its_own_name_a_chart_under_an_alias_gets_nothing():
    assert len(found(PACKED, {"mongodb": {"auth": {"rootPassword": "x"}}})) == 1


def test_what_nobody_declared_and_what_lies_deeper_is_read_too():
    inner = packed(**{"charts/common/Chart.yaml": HEAD.format(name="common").encode(),
                      "charts/common/values.yaml": b"token: abcdefgh\n"})  # fmt: skip
    (one,) = found({"charts/anything.tgz": inner})
    assert "charts/anything.tgz/charts/common/values.yaml: token" in one
    assert found({"charts/anything.tgz": inner}, {"db": {"common": {"token": "x1"}}}) == []


@pytest.mark.parametrize(
    "files",
    [
        {"charts/mongodb-1.0.0.tgz": b"x"},
        {"charts/mongodb-1.0.0.tgz": packed(**{"../../x": b"x"})},
        {"charts/mongodb/Chart.yaml": b"- x"},
        {"charts/mongodb/Chart.yaml": b"{}", "charts/mongodb/values.yaml": b"a: ["},
        {f"charts/c{n}/Chart.yaml": b"{}" for n in range(MOST_CHARTS)},
    ],
    ids=["garbage", "a path that leaves", "no head", "no values", "too many"],
)
def test_a_chart_that_cannot_be_read_is_refused(files):
    with pytest.raises(Refused):
        found(files)


OFF = """\
apiVersion: v2
name: chat
version: 1.0.0
dependencies:
  - {name: postgresql, version: 1.x, condition: postgresql.enabled}
"""


def of_the_topmost(values: str) -> list[str]:
    """What is said of the chart's own values.yaml."""
    files = {"Chart.yaml": OFF.encode(), "values.yaml": values.encode()}
    files |= {"charts/postgresql/Chart.yaml": HEAD.format(name="postgresql").encode()}
    return [str(one) for one in check_committed_secrets(read_chart_tree(files), {}, {})]


@pytest.mark.parametrize("enabled", ["true", "false"])
@pytest.mark.parametrize("password", ["rocketchat", "changeme"])
def test_a_placeholder_among_the_charts_defaults_is_no_secret(enabled, password):
    auth = f"auth: {{username: rocketchat, password: {password}}}"
    assert of_the_topmost(f"postgresql: {{enabled: {enabled}, {auth}}}\n") == []


@pytest.mark.parametrize(
    "auth",
    [
        "{username: rocketchat, password: hunter22}",
        "{password: rocketchat}",
        "{password: rocketchat, replicationPassword: rocketchat}",
    ],
    ids=["a real one", "nothing beside it", "beside another secret"],
)
@pytest.mark.parametrize("enabled", ["true", "false"])
def test_any_other_secret_among_the_charts_own_values_is_found_even_if_it_is_off(enabled, auth):
    found = of_the_topmost(f"postgresql: {{enabled: {enabled}, auth: {auth}}}\n")
    assert any("values.yaml: postgresql.auth.password" in one for one in found)


def test_a_placeholder_that_the_team_wrote_is_a_secret():
    file = read_values("postgresql: {auth: {username: chat, password: chat}}\n", "production.yaml")
    tree = read_chart_tree({"Chart.yaml": OFF.encode()})
    (found,) = check_committed_secrets(tree, {"production.yaml": file}, file.values)
    assert found.where == "production.yaml: postgresql.auth.password"


def test_the_files_in_crds_are_known_of_every_chart():
    tree = read_chart_tree(
        {
            "Chart.yaml": TOP,
            "crds/own.yaml": b"",
            "charts/mongodb-1.0.0.tgz": packed(**{"crds/theirs.yaml": b"", "values.yaml": VALUES}),
        }
    )
    assert [(one.place, one.crds) for one in tree.all()] == [
        ("", ("crds/own.yaml",)),
        ("charts/mongodb-1.0.0.tgz", ("crds/theirs.yaml",)),
    ]
