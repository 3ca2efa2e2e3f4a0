"""Plaintext values of the official chart moved into Secrets: which, where to, what stays; and the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from cli.main import main
from shared.deploy.chart.move_secrets import move_secrets
from shared.deploy.chart.repository_scan import scan_text
from shared.formats.agekeys import generate_identity
from shared.formats.yaml_edit import TextEdits
from shared.kernel.errors import Refused

KEY, RECIPIENT = generate_identity(post_quantum=False)
VALUES = """\
# our chat
host: chat.example.org
license: "abcdefgh123" # bought
smtp:
  enabled: true
  username: bot@example.org
  password: sm/tp-pass1 # from the provider
  host: mail.example.org
  port: 587
# variables
extraEnv:
  - name: ADMIN_PASS
    value: s3cretAdmin
  # a comment that stays
  - name: ROOT
    value: "x"
mongodb:
  enabled: true
  auth:
    rootPassword: r00tpassword1
    usernames: [rocketchat]
    # of the app
    passwords:
      - app-pass/word2
    databases: [rocketchat]
    replicaSetKey: abcdef0123456789
  persistence:
    size: 8Gi
"""
MOVED = """\
# our chat
host: chat.example.org
smtp:
  enabled: true
  existingSecret: rocketchat-smtp
# variables
extraEnv:
  # a comment that stays
  - name: ROOT
    value: "x"
mongodb:
  enabled: true
  auth:
    existingSecret: rocketchat-mongodb-auth
    usernames: [rocketchat]
    # of the app
    databases: [rocketchat]
  persistence:
    size: 8Gi
existingMongodbSecret: rocketchat-mongodb-uri
extraSecret: rocketchat-settings
"""
SECRETS = {
    "rocketchat-mongodb-auth": {
        "mongodb-root-password": "r00tpassword1", "mongodb-passwords": "app-pass/word2",
        "mongodb-replica-set-key": "abcdef0123456789",
    },
    "rocketchat-mongodb-uri": {
        "mongo-uri": "mongodb://rocketchat:app-pass%2Fword2@rocketchat-mongodb-headless:27017/rocketchat"
        "?replicaSet=rs0",
    },
    "rocketchat-smtp": {"mail-url": "smtp://bot%40example.org:sm%2Ftp-pass1@mail.example.org:587"},
    "rocketchat-settings": {"ROCKETCHAT_LICENSE": "abcdefgh123", "ADMIN_PASS": "s3cretAdmin"},
}  # fmt: skip


def test_every_secret_of_the_values_has_its_place_and_all_else_stays_byte_for_byte() -> None:
    plan = move_secrets(VALUES, "values.yaml", "rocketchat")
    assert plan.values == MOVED
    assert plan.secrets == SECRETS
    assert plan.left == ()
    assert scan_text("values.yaml", plan.values) == []
    assert move_secrets(plan.values, "values.yaml", "rocketchat").secrets == {}


@pytest.mark.parametrize(
    ("values", "left"),
    [
        (
            "mongodb:\n  auth:\n    passwords: [secret-word1]\n",
            "mongodb-root-password, mongodb-replica-set-key",
        ),
        ("smtp: {password: p4ssw0rd, host: h}\n", "smtp.password: written on one line"),
        ("extraSecret: mine\nextraEnv:\n  - name: ADMIN_PASS\n    value: s3cret\n", "add to the Secret mine"),
        ("postgres:\n  password: p4ssw0rd1\n", "values.yaml: postgres.password, line 2"),
    ],
)
def test_what_cannot_be_moved_is_left_and_told_without_its_value(values: str, left: str) -> None:
    plan = move_secrets(values, "values.yaml", "rocketchat")
    assert any(left in one for one in plan.left), plan.left
    assert not any(word in " ".join(plan.left) for word in ("p4ssw0rd", "secret-word1", "s3cret"))


def test_an_external_uri_and_one_that_is_named_already() -> None:
    uri = "mongodb://u:p4ssw0rd@db:27017/rocketchat"
    plan = move_secrets(f"externalMongodbUrl: {uri}\n", "v.yaml", "chat")
    assert plan.values == "existingMongodbSecret: chat-mongodb-uri\n"
    assert plan.secrets == {"chat-mongodb-uri": {"mongo-uri": uri}}
    both = f"existingMongodbSecret: mine\nexternalMongodbUrl: {uri}\n"
    assert move_secrets(both, "v.yaml", "chat").secrets == {}


def test_a_list_that_lost_all_of_its_items_is_an_empty_one_and_not_null() -> None:
    plan = move_secrets("extraEnv:\n  - name: ADMIN_PASS\n    value: s3cret\nhost: x\n", "v.yaml", "chat")
    assert yaml.safe_load(plan.values) == {"extraEnv": [], "host": "x", "extraSecret": "chat-settings"}


def test_a_sealed_file_is_refused() -> None:
    with pytest.raises(Refused, match="encrypted already"):
        move_secrets("a: b\nsops: {age: []}\n", "v.yaml", "chat")


LISTS = st.lists(st.integers(0, 9), max_size=2)
LEAF = st.one_of(st.integers(0, 99), st.text("abc #:'\n", max_size=6), LISTS)
INNER = st.one_of(LEAF, st.dictionaries(st.text("xyz", min_size=1), LEAF))
TREES = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), INNER, min_size=1, max_size=5)


@given(TREES, st.data())
def test_removing_an_entry_removes_that_entry_and_nothing_else(
    tree: dict[str, Any], data: st.DataObject
) -> None:
    text = yaml.safe_dump(tree, sort_keys=False)
    key = data.draw(st.sampled_from(sorted(tree)))
    edits = TextEdits(text, "x")
    if edits.remove((key,)):
        assert (yaml.safe_load(edits.text()) or {}) == {k: v for k, v in tree.items() if k != key}


def run(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(main, ["secrets", *arguments], env={"GROUNDCREW_SOPS_AGE_KEY": KEY})
    assert done.exit_code == code, done.output
    return done.output


def test_the_command_shows_a_diff_without_secrets_then_writes_sealed_ones_that_open(tmp_path: Path) -> None:
    file, sealed = tmp_path / "values-production.yaml", tmp_path / "secrets.yaml"
    file.write_text(VALUES)
    shown = run("migrate", str(file), "-o", str(sealed), "--dry-run")
    assert "+  existingSecret: rocketchat-smtp" in shown
    for secret in ("abcdefgh123", "sm/tp", "s3cretAdmin", "r00tpassword1", "app-pass", "abcdef0123456789"):
        assert secret not in shown
    assert file.read_text() == VALUES
    assert not sealed.exists()
    assert json.loads(run("migrate", str(file), "-o", str(sealed), "--yes", "--json"))["left"] == []
    assert file.read_text() == MOVED
    assert "s3cretAdmin" not in sealed.read_text()
    items = yaml.safe_load(run("open", str(sealed)))["items"]
    assert {one["metadata"]["name"]: one["stringData"] for one in items} == SECRETS
    assert {one["metadata"]["namespace"] for one in items} == {"rocketchat"}
    file.write_text(VALUES)
    assert "is there already" in run("migrate", str(file), "-o", str(sealed), "--yes", code=2)
    assert file.read_text() == VALUES


def test_what_is_left_in_plain_text_is_an_exit_code(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("postgres:\n  password: p4ssw0rd1\n")
    run("migrate", str(file), "-o", str(tmp_path / "s.yaml"), "--yes", code=1)
