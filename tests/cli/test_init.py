"""`groundcrew init`: what a new user is given harms nothing, shows no secret, and is kept when run again."""

from __future__ import annotations

import json
import shlex
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from shared.formats.agekeys import parse_identities
from shared.formats.manifest import Signer
from shared.policy import parse_policy
from shared.settings import definitions
from shared.settings.environment import Environment
from shared.settings.setup import ChosenSetting, as_az, as_tfvars

PASSWORD = "hunter2hunter2"
URI = f"mongodb://groundcrew:{PASSWORD}@10.0.0.4:27017/?replicaSet=rs0"
FLAGS = (
    "--timezone", "Europe/Vienna", "--machine", "chat-vm", "--subscription",
    "00000000-0000-0000-0000-000000000001",
    "--resource-group", "rg-chat", "--app", "func-chat", "--backup-account", "stchatbackups",
    "--chat", "https://chat.example.org", "--repository", "example/chart",
)  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(place: Path, *words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(main, ["init", "--into", str(place / "keys"), *words], input=stdin)


def begun(place: Path, *words: str, stdin: str = URI) -> dict[str, Any]:
    result = init(place, *FLAGS, "--mongodb-uri", "-", "--json", *words, stdin=stdin)
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def test_the_policy_is_the_teams_and_changes_nothing(place: Path) -> None:
    begun(place)
    policy = parse_policy((place / "policy.yaml").read_text())
    assert policy.timezone == "Europe/Vienna"
    assert (policy.power.machines, policy.snapshots.disks, policy.deploy.repository) == ((), None, None)
    assert "- name: chat-vm" in (place / "policy.yaml").read_text()


def test_the_settings_of_local_settings_json_are_those_that_a_backup_needs(place: Path) -> None:
    values = json.loads(begun(place)["settings"]["local.settings.json"])["Values"]
    assert values["MONGODB_URI"] == URI
    signer = Signer.parse(values["GROUNDCREW_SIGNING_KEY"])
    assert values["GROUNDCREW_TRUSTED_SIGNERS"] == signer.public_text()
    (identity,) = parse_identities((place / "keys" / "recovery.agekey").read_text())
    assert values["GROUNDCREW_AGE_RECIPIENTS"] == identity.recipient()
    assert len(values["GROUNDCREW_GITHUB_WEBHOOK_SECRETS"]) == 64
    assert Environment(values).backup_storage().blob_url == "https://stchatbackups.blob.core.windows.net"


def test_neither_az_nor_terraform_shows_a_secret(place: Path) -> None:
    answer = begun(place)
    secret = [(place / "keys" / f"{name}.txt").read_text() for name in
              ("MONGODB_URI", "GROUNDCREW_SIGNING_KEY", "GROUNDCREW_GITHUB_WEBHOOK_SECRETS")]  # fmt: skip
    shown = init(place, "--no-input").output
    for text in (answer["settings"]["az"], answer["settings"]["tfvars"], shown):
        assert not [value for value in secret if value in text]
    listed = json.loads((place / "keys" / "secret-settings.json").read_text())
    assert sorted(row["value"] for row in listed) == sorted(secret)
    assert "AGE-SECRET-KEY" not in json.dumps(answer) + (place / "keys" / "secret-settings.json").read_text()


def test_only_the_owner_can_read_what_is_secret(place: Path) -> None:
    begun(place)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (place / "keys").iterdir()}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((place / "keys").stat().st_mode) == 0o700


def test_what_is_there_is_kept_when_it_is_run_again(place: Path) -> None:
    begun(place)
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    again = begun(place, stdin="mongodb://other")
    assert again["written"] == []
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_a_policy_that_is_there_is_never_written_over(place: Path) -> None:
    (place / "policy.yaml").write_text("timezone: Asia/Tokyo\n")
    begun(place)
    assert (place / "policy.yaml").read_text() == "timezone: Asia/Tokyo\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--timezone", "Berlin"), "--timezone: not an IANA time zone: Berlin"),
        (("--backup-account", "St_Backups"), "--backup-account: not a storage account's name"),
        (("--mongodb-uri", "10.0.0.4"), "--mongodb-uri: not a MongoDB URI"),
        (("--chat", "chat.example.org"), "--chat: not the address of a site"),
        (("--repository", "chart"), "--repository: not a repository on GitHub: chart"),
        (("--machine", "a: b"), "--machine: not a name that Azure takes: a: b"),
    ],
)
def test_a_wrong_answer_is_refused_before_anything_is_written(
    words: tuple[str, ...], told: str, place: Path
) -> None:
    result = init(place, *words)
    assert (result.exit_code, told in result.stderr) == (2, True), result.stderr
    assert list(place.iterdir()) == []


def test_without_answers_it_says_what_is_not_known_yet(place: Path) -> None:
    result = init(place, "--no-input")
    assert result.exit_code == 0
    assert "# Not known yet: MONGODB_URI, AZURE_SUBSCRIPTION_ID" in result.stdout


def test_keys_are_not_made_in_a_checkout(place: Path) -> None:
    (place / "host.json").write_text("{}")
    assert init(place, "--no-input").exit_code == 2


def test_a_shell_and_terraform_read_any_value_as_it_is() -> None:
    chosen = [ChosenSetting(definitions.CHAT, 'its ${a} %{b} "c" $(d)')]
    line = as_az(chosen, app="app", group="group", secrets=Path("/s.json")).replace("\\\n", " ")
    assert f"{definitions.CHAT.name}={chosen[0].value}" in shlex.split(line)
    expected = r'GROUNDCREW_CHAT = "its $${a} %%{b} \"c\" $(d)"'
    assert expected in as_tfvars(chosen, made=())
    assert "GROUNDCREW_CHAT" not in as_tfvars(chosen, made=("GROUNDCREW_CHAT",))
