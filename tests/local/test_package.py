"""The package that is deployed: what it leaves out, and that the worker serves it as it arrives on Azure."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import package
from local.app_service import principal_header
from local.azure_and_chat import azure_settings
from local.azure_rm import AzureServer
from local.azurite import Azurite
from local.funcignore import FuncIgnore
from local.identity import IdentityEndpoint
from local.kubernetes.tls import Authority
from local.worker_calls import ROOT, FunctionCall, run_worker
from shared.adapters.blobs import create_container
from shared.azure.arm import PUBLIC_CLOUD
from shared.kernel.errors import Unavailable
from shared.settings.storage_account import StorageAccount
from tests.functions.test_triggers import SECRET, signed

CLIENT = "11111111-aaaa-bbbb-cccc-000000000001"
IGNORE = FuncIgnore.parse((ROOT / ".funcignore").read_text())


@pytest.mark.parametrize(
    ("pattern", "path", "accepted"),
    [
        ("*.key", "a.key", False),
        ("*.key", "sub/a.key", True),
        ("**/*.key", "sub/deeper/a.key", False),
        ("*.key", "a.keys", True),
        (".*", ".env", False),
        (".*", "sub/.env", True),
        ("bench", "bench/data.py", False),
        ("bench", "bench.py", False),
        ("bench", "benches/x", True),
        ("bench", "sub/bench/x", True),
        ("/docs", "docs/a", False),
        ("# docs", "docs/a", True),
        ("a?b", "axb", True),
        (".*\n!.python_packages", ".python_packages/lib/.x", True),
    ],
)
def test_patterns_mean_what_core_tools_make_of_them(pattern: str, path: str, accepted: bool) -> None:
    assert FuncIgnore.parse(pattern).accepts(path) is accepted


@pytest.mark.parametrize(
    "path",
    [
        ".env", "sub/.env", "recovery.agekey", "keys/recovery.agekey", "a/b/signing.signkey",
        "tls/server.key", "server.pem", "local.settings.json", "local.settings.prod.json",
        "tests/conftest.py", "shared/x/.git",
        "shared/__pycache__/a.pyc", "docs/settings.md", "README.md", "shared/README.md", ".git/config",
        "requirements-dev.txt", "requirements.in", "dist/groundcrew.zip", "node_modules/x/index.js",
    ],
)  # fmt: skip
def test_neither_keys_nor_what_does_not_run_is_published_from_any_folder(path: str) -> None:
    assert not IGNORE.accepts(path)


@pytest.mark.parametrize(
    "path",
    [
        "function_app.py", "host.json", "policy.yaml", "requirements.txt", "shared/kernel/errors.py",
        "functions/deploy.py", "shared/settings/environment.py", "bin/helm", "bin/helm.sha256",
        ".python_packages/lib/site-packages/azure/functions/__init__.pyc",
        ".python_packages/lib/site-packages/numpy.libs/.x/libfoo.so",
    ],
)  # fmt: skip
def test_what_runs_is_published(path: str) -> None:
    assert IGNORE.accepts(path)


def test_the_same_files_make_the_same_zip_and_keep_their_modes(tmp_path: Path) -> None:
    folder = tmp_path / "package"
    (folder / "shared").mkdir(parents=True)
    (folder / "shared" / "b.py").write_text("b")
    (folder / "a.py").write_text("a")
    helm = tmp_path / "helm"
    helm.write_bytes(b"#!/bin/sh\n")
    package.add_helm(folder, helm)
    first = package.write_zip(folder, tmp_path / "1.zip").read_bytes()
    os.utime(folder / "a.py", (1, 1))
    assert package.write_zip(folder, tmp_path / "2.zip").read_bytes() == first
    with zipfile.ZipFile(tmp_path / "1.zip") as archive:
        modes = {entry.filename: entry.external_attr >> 16 for entry in archive.infolist()}
        assert archive.read("bin/helm.sha256").decode().endswith("  helm\n")
    assert list(modes) == ["a.py", "bin/helm", "bin/helm.sha256", "shared/b.py"]
    assert {name for name, mode in modes.items() if mode & stat.S_IXUSR} == {"bin/helm"}
    assert all(stat.S_ISREG(mode) for mode in modes.values())


@pytest.fixture(scope="module")
def python() -> str:
    try:
        return package.find_python()
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def deployed(python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The package as on Azure: every file 0666, in folders that cannot be written to; and the worker."""
    folder = tmp_path_factory.mktemp("package")
    helm = shutil.which("true")
    assert helm is not None
    target = package.build(folder / "built", folder / "groundcrew.zip", helm=Path(helm), python=python)
    app = folder / "wwwroot"
    with zipfile.ZipFile(target) as archive:
        archive.extractall(app)  # which sets no modes
    for path in [app, *app.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o666)
    worker = folder / "worker"
    argv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", str(worker), "--no-deps"]
    argv += [
        "--python-version",
        package.PYTHON,
        "--require-hashes",
        "-r",
        str(ROOT / "requirements-worker.txt"),
    ]
    subprocess.run(argv, check=True, timeout=300)
    yield app, worker
    for path in [app, *app.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)


@pytest.mark.timeout(600)
def test_the_package_carries_what_each_worker_would_compile_or_check(
    deployed: tuple[Path, Path], python: str
) -> None:
    app, _ = deployed
    code = """
import functions, sys
from re import _compiler
from importlib.machinery import FileFinder
del _compiler._parser.parse  # without which nothing new can be compiled
looked, find = [], FileFinder.find_spec
FileFinder.find_spec = lambda self, name, *rest: looked.append(name) or find(self, name, *rest)
from shared.deploy.model import PullRequest
from shared.formats.backupset import SealRecord
from shared.formats.strict_json import strict_validator
from shared.wiring import load_policy
import urllib3
strict_validator(SealRecord)
print(PullRequest.__init__.__code__.co_filename, load_policy().timezone, "pydantic" in sys.modules)
print([name for name in looked if name.startswith(("shared.", "urllib3."))])
"""
    path = str(app / package.SITE)
    argv = [python, "-c", code]
    done = subprocess.run(argv, cwd=app, env={"PYTHONPATH": path}, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("<dataclass> Europe/Berlin False\n[]\n", "")


POLICY = """
deploy: {repository: acme/chat}
access: {wake: ["1234"]}
power: {machines: [{name: rocketchat, windows: []}]}
"""
# Who is not root, and may read what root may (this interpreter, pytest's folders) but write nothing of it.
NOBODY = [
    "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
    "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search",
]  # fmt: skip


@pytest.fixture(scope="module")
def unprivileged(deployed: tuple[Path, Path]) -> list[str]:
    """A command that starts another as an ordinary user, for whom the package is read-only."""
    prefix = NOBODY if os.geteuid() == 0 else []
    code = "import pathlib, sys; pathlib.Path(sys.argv[1], 'written').touch()"
    written = subprocess.run(
        [*prefix, sys.executable, "-c", code, str(deployed[0])], capture_output=True, text=True, timeout=60
    )
    assert "PermissionError" in written.stderr
    return prefix


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Azurite]:
    """Over TLS, with sign-in, and with the container that the app has for itself."""
    certificate, trusted = Authority().write(tmp_path)
    with Azurite(tmp_path / "azurite", certificate=certificate) as azurite:
        account = StorageAccount.by_connection_string(azurite.connection_string)
        os.environ["REQUESTS_CA_BUNDLE"] = str(trusted)
        try:
            create_container(account, "groundcrew")
            yield azurite
        finally:
            del os.environ["REQUESTS_CA_BUNDLE"]


@pytest.mark.timeout(600)
def test_the_worker_serves_the_package_as_an_ordinary_user_signed_in_by_a_user_assigned_identity(
    deployed: tuple[Path, Path], python: str, unprivileged: list[str], storage: Azurite, tmp_path: Path
) -> None:
    app, worker = deployed
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    with IdentityEndpoint({CLIENT}) as endpoint, AzureServer() as azure:
        azure.trusts = lambda token: endpoint.has_issued(token, PUBLIC_CLOUD)
        azure.add_vm("rocketchat")
        settings = {
            "PYTHONPATH": f"{app / package.SITE}:{worker}:{ROOT}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "REQUESTS_CA_BUNDLE": os.environ["REQUESTS_CA_BUNDLE"],
            "GROUNDCREW_POLICY": str(policy),
            "GROUNDCREW_GITHUB_WEBHOOK_SECRETS": SECRET,
            "GROUNDCREW_WAKE_SIGN_IN": "app-service",
            "WEBSITE_AUTH_ENABLED": "True",
            "AzureWebJobsStorage__blobServiceUri": storage.blob_url,
            "AzureWebJobsStorage__queueServiceUri": storage.queue_url,
            "AzureWebJobsStorage__credential": "managedidentity",
            "AzureWebJobsStorage__clientId": CLIENT,
            "AZURE_CLIENT_ID": CLIENT,
            **{name: value for name, value in azure_settings(azure).items() if not name.endswith("_TOKEN")},
            **endpoint.settings,
        }
        request = {"repository": "acme/chat", "sha": "a" * 40, "environment": "production", "pull": 7}
        calls = [
            signed(),
            FunctionCall("deploy_run", "queue", body=json.dumps(request)),
            FunctionCall("power_tick", "timer"),
            FunctionCall("wake", "http", headers=principal_header()),
            FunctionCall("deploy_page", "http", headers=principal_header()),
            FunctionCall("wake", "http", headers=principal_header(id_="somebody else")),
            FunctionCall("wake", "http"),
        ]
        answers = run_worker(settings, calls, app=app, python=python, prefix=unprivileged)
        asked = {name for _, name in endpoint.requests}
        resources = {resource for resource, _ in endpoint.requests}
        statuses = {logged.status for logged in azure.log}
    merged, ran, ticked, wake, page, stranger, nobody = answers
    assert (merged.status, ran.ok, ran.error, ticked.ok, ticked.error) == (202, True, "", True, "")
    assert (wake.status, page.status, stranger.status, nobody.status) == (200, 200, 403, 401)
    assert "rocketchat" in wake.body
    assert "a" * 7 in page.body
    # Both are signed in to by the identity that was named, and by nothing else.
    assert asked == {CLIENT}
    # 202 is a start or stop, which the tick asks for or not by the hour at which this runs.
    assert statuses <= {200, 202}
    assert {resource.rstrip("/") for resource in resources} == {"https://storage.azure.com", PUBLIC_CLOUD}
    lines = [line for answer in answers for line in answer.logged("shared") + answer.logged("functions")]
    assert {type(json.loads(line.partition(" ")[2])) for line in lines} == {dict}  # each with its facts
    (line,) = ran.logged("functions.deploy")
    assert json.loads(line.partition(" ")[2])["done"].startswith("recorded aaaaaaa")


@pytest.mark.timeout(600)
def test_the_package_is_small_and_holds_bytecode(deployed: tuple[Path, Path]) -> None:
    size = package.measure(deployed[0].parent / "groundcrew.zip")
    assert size["files"] <= 5000
    if shutil.which("strip"):
        assert size["megabytes"] <= 100
    names = {path.relative_to(deployed[0]).as_posix() for path in deployed[0].rglob("*") if path.is_file()}
    assert "__pycache__/function_app.cpython-313.pyc" in names
    assert f"{package.SITE}/pymongo/__init__.pyc" in names
    schemas = [name for name in names if "/kubernetes-json-schema/" in name]
    assert all(name.endswith("-local-strict.zip") for name in schemas)
    assert len(schemas) >= 10
    assert not [name for name in names if name.split("/")[0] in ("tests", "local", "cli", "docs", "infra")]


@pytest.mark.timeout(600)
def test_the_packed_schemas_judge_as_those_in_files_do(deployed: tuple[Path, Path], python: str) -> None:
    code = (
        "from shared.adapters.kubernetes_schemas import list_series, validate\n"
        "pod = {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'nam': 'a'}, 'spec': {'containers': []}}\n"
        "unknown = {**pod, 'kind': 'Nothing'}\n"
        "print(len(list_series()), [str(one) for one in validate([pod, pod, unknown], '1.36.0')])"
    )
    app = deployed[0]
    done = subprocess.run(
        [python, "-c", code], capture_output=True, text=True, check=True, timeout=60, cwd=app,
        env={"PYTHONPATH": f"{app / package.SITE}:{app}"},
    )  # fmt: skip
    assert int(done.stdout.split()[0]) >= 10
    assert done.stdout.count("unknown field nam") == 2
    assert "no schema is known for this kind" in done.stdout


def test_an_interpreter_that_is_found_by_its_name_is_named_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever runs it may do so without a PATH.
    named = tmp_path / "pythonx"
    named.write_text("#!/bin/sh\n")
    named.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PACKAGE_PYTHON", "pythonx")
    assert package.find_python() == str(named)
