"""The deploy page on a phone, from the records in storage through the host: readable, and it follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests

from local.app_service import app_service, principal_header
from local.azurite import EmulatedAccount
from local.chromium import Phone
from local.host.process import HostProcess
from local.server import Served
from local.stack import ROOT
from shared.adapters.blobs import create_container, open_blobs
from shared.adapters.clock import SystemClock
from shared.deploy.progress import DeployState
from shared.deploy.records.deploy_record import AGREED, DeployRecord
from shared.deploy.records.deploys import DeployStore
from shared.deploy.records.requests import DeployRequest
from shared.deploy.watermark import propose_restore, raise_watermark
from shared.settings.storage_account import StorageAccount

pytestmark = pytest.mark.timeout(240)
# What no phone can break at a space, and what a browser must not take for HTML.
LONG = "registry.example.org/" + "a-very-long-name-" * 6 + "@sha256:" + "0123456789abcdef" * 4
TITLE = f"<b>Bump</b> {LONG} & say \u202eolleh"


@dataclass
class Place:
    """The app in its host, the records that it shows, and its address behind App Service's sign-in."""

    host: HostProcess
    deploys: DeployStore
    url: str

    def save_deploy(
        self, letter: str, state: DeployState, *, before: str = "8.2.0", **more: Any
    ) -> DeployRecord:
        """A deploy with long texts in all of it."""
        record = self.deploys.create_or_load(DeployRequest("acme/chat", letter * 40, "production", pull=12))
        progress = replace(
            record.progress, state=state, reason=f"{LONG} is not ready", version_before=before,
            version_after="8.3.0", revision_before=7, backup="manual/20261123T090000Z",
        )  # fmt: skip
        gates = (f"passed  template: {LONG}", f"closed  approvals: none. {LONG}", "waits  checks: lint")
        log = tuple(f"waiting for {number} {LONG}" for number in range(20))
        plan = f"~ change  Deployment\n    spec.image: {LONG}\n1 to change"
        details = {"author": "ada", "title": TITLE, "gates": gates, "log": log, "plan": plan, **more}
        return self.deploys.save(replace(record, progress=progress, **details))

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(f"{self.host.url}/api/deploys{path}", headers=headers, timeout=60)


@pytest.fixture(scope="module")
def shown(
    tmp_path_factory: pytest.TempPathFactory, take_account: Callable[[], EmulatedAccount]
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("page")
    (folder / "policy.yaml").write_text('timezone: Europe/Berlin\naccess: {view: ["1234"]}\n')
    with ExitStack() as stack:
        account = take_account()
        storage = StorageAccount.by_connection_string(account.connection_string)
        create_container(storage, "groundcrew")
        settings = {
            "AzureWebJobsStorage": account.connection_string,
            "GROUNDCREW_POLICY": str(folder / "policy.yaml"),
            "GROUNDCREW_WAKE_SIGN_IN": "app-service",
        }
        host = stack.enter_context(HostProcess(ROOT, settings, folder / "host"))
        front = stack.enter_context(Served(lambda: app_service(host.url)))
        deploys = DeployStore(open_blobs(storage, "groundcrew"), SystemClock())
        yield Place(host, deploys, f"{front.url}/api/deploys")


@pytest.fixture
def worst(shown: Place) -> dict[str, str]:
    """The paths of pages that have to show most."""
    running = shown.save_deploy("a", DeployState.APPLYING)
    rolled = shown.save_deploy("b", DeployState.ROLLED_BACK, before="8.3.0")
    restore = shown.save_deploy("c", DeployState.RESTORE_PROPOSED)
    watermark = raise_watermark(None, restore.progress, restore.started)
    found = propose_restore(watermark, f"{LONG} may have run", namespace="rocketchat")
    told = "\n".join((found.reason, *found.warnings, AGREED, *found.commands))
    shown.deploys.save(replace(restore, proposal=told))
    one = {"running": running, "rolled back": rolled, "restore": restore}
    paths = {name: f"/{record.progress.key}" for name, record in one.items()}
    return {**paths, "list": "", "missing": "/" + "0" * 16 + "-" + "0" * 40}


@pytest.mark.parametrize("dark", [False, True], ids=["by day", "at night"])
def test_every_page_fits_a_phone_and_can_be_read(
    phone: Phone,
    shown: Place,
    worst: dict[str, str],
    check: Callable[[dict[str, Any]], None],
    tmp_path: Path,
    dark: bool,
) -> None:
    if dark:
        phone.prefer_dark()
    for name, path in worst.items():
        phone.open(f"{shown.url}{path}")
        phone.take_screenshot(tmp_path / f"{name}.png", whole=True)
        check(phone.measure_page())
        phone.read("document.querySelectorAll('details').forEach(one => one.open = true)")
        phone.take_screenshot(tmp_path / f"{name} unfolded.png", whole=True)
        check(phone.measure_page())
        if path.strip("/0-"):
            text = phone.measure_page()["text"]
            assert "<b>Bump</b>" in text
            assert "ana@example.org" in text


def test_a_command_is_taken_whole_by_one_tap(phone: Phone, shown: Place, worst: dict[str, str]) -> None:
    phone.open(f"{shown.url}{worst['restore']}")
    selectable = "[...document.querySelectorAll('pre.copy')].map(e => getComputedStyle(e).userSelect)"
    assert phone.read(selectable) == ["all"] * 5
    first = phone.read("document.querySelector('pre.copy').textContent")
    assert first == "kubectl --namespace rocketchat scale deployment --all --replicas=0"


def test_the_page_follows_a_deploy_to_its_end_and_then_rests(
    phone: Phone, shown: Place, tmp_path: Path
) -> None:
    record = shown.save_deploy("d", DeployState.APPLYING)
    phone.open(shown.url)
    phone.read(f"document.querySelector('a[href$=\"{record.progress.key}\"]').click()")
    phone.wait_for("document.querySelector('.state').innerText.startsWith('applying, for')")
    phone.take_screenshot(tmp_path / "applying.png")
    shown.deploys.save(replace(record, progress=replace(record.progress, state=DeployState.ROLLED_BACK)))
    phone.wait_for("document.querySelector('.state').innerText == 'rolled back'")  # no tap: it looks again
    phone.take_screenshot(tmp_path / "rolled back.png")
    assert phone.read("document.querySelector('meta[http-equiv]')") is None
    assert "looks again" not in phone.measure_page()["text"]


def test_the_host_lets_in_only_those_whom_app_service_names(shown: Place, worst: dict[str, str]) -> None:
    for path in worst.values():
        assert shown.get(path).status_code == 401
    assert shown.get(worst["missing"], **principal_header()).status_code == 404
    assert shown.get("/..%2F..%2Faudit", **principal_header()).status_code == 404
    page = shown.get(worst["running"], **principal_header())
    assert page.status_code == 200
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
