"""Values files that the real sops sealed, opened and checked by us."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shared.formats import sops
from shared.formats.agekeys import generate_identity, parse_identities
from shared.formats.chartyaml import read_as_sops
from shared.formats.sops_keys import SopsRecipients
from shared.formats.sops_writer import SealRules, open_text, reseal, rotate_recipients
from shared.formats.sops_writer import seal as seal_text
from shared.kernel.errors import GroundcrewError, Refused

Find = Callable[[str], Path]
SECRET, RECIPIENT = generate_identity(post_quantum=False)
VALUES = """\
# how the chat is reached
host: chat.example.org
mongodb:
  # made by hand
  password: p4ssw0rd-猫
  port: 27017
  ratio: 0.25
  enabled: true
  nothing: null
  empty: ""
extraEnv:
  # the first one
  - name: A
    value: "yes"
  - name: B # beside
    value: "0123"
numbers: [1, 2.50, -3, 1e3]
text: |
  several
  lines: here
"""


def read(text: str) -> dict[str, Any]:
    """As sops reads it, to which `1e3` is a number."""
    return dict(read_as_sops(text, "values.yaml"))


@pytest.fixture(params=["sops", "sops-wheel"], ids=["built", "of a wheel"])
def program(request: pytest.FixtureRequest, program: Find) -> Find:
    """Both the program that is built and the one of a wheel, which is older."""
    return lambda name: program(str(request.param) if name == "sops" else name)


@pytest.fixture
def seal(program: Find, tmp_path: Path) -> Callable[..., str]:
    """`sops encrypt` with a key of this run."""

    def seal(text: str, *options: str) -> str:
        path = tmp_path / "values.yaml"
        path.write_text(text, encoding="utf-8")
        argv = [program("sops"), "encrypt", "--age", RECIPIENT, *options, path]
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    return seal


@pytest.mark.parametrize(
    "options",
    [
        pytest.param((), id="everything encrypted"),
        pytest.param(("--encrypted-regex", "^(password|value)$"), id="by a pattern of keys"),
        pytest.param(("--unencrypted-suffix", "_plain"), id="all but a suffix"),
    ],
)
def test_what_sops_sealed_is_opened_as_it_was(seal: Callable[..., str], options: tuple[str, ...]) -> None:
    sealed = seal(VALUES, *options)
    text, secrets = sops.decrypt(sealed, "values.yaml", parse_identities(SECRET))
    assert read(text) == read(VALUES)
    assert "p4ssw0rd-猫" in secrets


def test_a_mac_over_what_is_encrypted_only_fits(seal: Callable[..., str], tmp_path: Path) -> None:
    # By a rule: versions before 3.12 have no option for it.
    rule = {"age": RECIPIENT, "mac_only_encrypted": True, "encrypted_regex": "^password$"}
    (tmp_path / ".sops.yaml").write_text(json.dumps({"creation_rules": [rule]}))
    sealed = seal(VALUES)
    assert "mac_only_encrypted: true" in sealed
    text, _ = sops.decrypt(sealed, "values.yaml", parse_identities(SECRET))
    assert read(text) == read(VALUES)


@pytest.mark.parametrize("threshold", [2, 3])
def test_a_file_of_key_groups_is_opened_by_as_many_as_it_takes(
    program: Find, tmp_path: Path, threshold: int
) -> None:
    keys = [generate_identity(post_quantum=False) for _ in range(3)]
    groups = [{"age": [public]} for _, public in keys]
    rule = {"shamir_threshold": threshold, "key_groups": groups}
    (tmp_path / ".sops.yaml").write_text(json.dumps({"creation_rules": [rule]}))
    (tmp_path / "values.yaml").write_text(VALUES, encoding="utf-8")
    argv = [program("sops"), "--config", tmp_path / ".sops.yaml", "encrypt", tmp_path / "values.yaml"]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    given = parse_identities("\n".join(secret for secret, _ in keys[:threshold]))
    text, _ = sops.decrypt(ran.stdout, "values.yaml", given)
    assert read(text) == read(VALUES)
    assert read(open_text(ran.stdout, "values.yaml", given)) == read(VALUES)
    with pytest.raises(Refused, match="several groups together"):
        sops.decrypt(ran.stdout, "values.yaml", given[1:])
    # Edited by us it stays a file of the same groups: opened by as many, and not by fewer.
    edited = reseal(VALUES.replace("27017", "27018"), ran.stdout, "values.yaml", given, NOW)
    for count, code in ((threshold, 0), (threshold - 1, 128)):
        opened = _run_sops(program, tmp_path, edited, keys[-count:], "decrypt")
        assert opened.returncode == code, opened.stderr
        assert code or read(opened.stdout)["mongodb"]["port"] == 27018


@pytest.mark.parametrize(("groups", "threshold"), [(2, 0), (3, 2), (4, 3)])
def test_a_file_that_we_sealed_to_key_groups_is_opened_edited_and_rotated_by_sops(
    program: Find, tmp_path: Path, groups: int, threshold: int
) -> None:
    keys = [generate_identity(post_quantum=False) for _ in range(groups)]
    to = SopsRecipients(tuple((public, RECIPIENT) for _, public in keys), threshold)
    text = seal_text(VALUES, "values.yaml", to, SealRules(encrypted_regex="^(password|value)$"), NOW)
    enough = keys[: threshold or groups]
    few = _run_sops(program, tmp_path, text, enough[1:], "decrypt")
    assert few.returncode == 128, few.stderr
    assert read(_run_sops(program, tmp_path, text, enough, "decrypt").stdout) == read(VALUES)
    change = ('["mongodb"]["password"]', '"another"')
    changed = _run_sops(program, tmp_path, text, enough, "set", after=change)
    assert changed.returncode == 0, changed.stderr
    rotated = _run_sops(program, tmp_path, _sealed_file(tmp_path), enough, "rotate", "--in-place")
    assert rotated.returncode == 0, rotated.stderr
    given = parse_identities("\n".join(secret for secret, _ in enough))
    opened = open_text(_sealed_file(tmp_path), "values.yaml", given)
    assert read(opened)["mongodb"]["password"] == "another"
    # And back: our rotation of what sops rotated, which sops then opens with the new groups.
    others = [generate_identity(post_quantum=False) for _ in range(2)]
    again = rotate_recipients(
        _sealed_file(tmp_path), "values.yaml", given, SopsRecipients(tuple((one,) for _, one in others)), NOW
    )
    assert _run_sops(program, tmp_path, again, enough, "decrypt").returncode == 128
    assert read(_run_sops(program, tmp_path, again, others, "decrypt").stdout) == read(opened)


def _sealed_file(tmp_path: Path) -> str:
    return (tmp_path / "sealed.yaml").read_text(encoding="utf-8")


def _run_sops(
    program: Find, tmp_path: Path, text: str, keys: Sequence[tuple[str, str]], *arguments: str,
    after: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """`sops` on a text in `sealed.yaml`, with the secrets of these keys and no others."""
    path = tmp_path / "sealed.yaml"
    path.write_text(text, encoding="utf-8")
    environment = {
        **os.environ,
        "SOPS_AGE_KEY": "\n".join(secret for secret, _ in keys),
        "HOME": str(tmp_path),
    }
    return subprocess.run(
        [program("sops"), *arguments, path, *after], capture_output=True, text=True, timeout=60,
        env=environment, check=False,
    )  # fmt: skip


def test_a_value_changed_after_sealing_is_refused(seal: Callable[..., str]) -> None:
    sealed = seal(VALUES, "--encrypted-regex", "^password$")
    changed = sealed.replace("chat.example.org", "evil.example.org")
    assert changed != sealed
    with pytest.raises(GroundcrewError):
        sops.decrypt(changed, "values.yaml", parse_identities(SECRET))


def test_another_key_opens_nothing(seal: Callable[..., str]) -> None:
    other, _ = generate_identity(post_quantum=False)
    with pytest.raises(GroundcrewError):
        sops.decrypt(seal(VALUES), "values.yaml", parse_identities(other))


NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULES = (SealRules(), SealRules(encrypted_regex="^(password|value)$"), SealRules(unencrypted_suffix="_plain"))


@pytest.fixture
def run_sops(program: Find, tmp_path: Path) -> Callable[..., str]:
    """`sops` on a text, with our key; what it prints, or what it makes of the file with `--in-place`."""

    def run(text: str, *arguments: str) -> str:
        path = tmp_path / "sealed.yaml"
        path.write_text(text, encoding="utf-8")
        environment = {**os.environ, "SOPS_AGE_KEY": SECRET}
        argv = [program("sops"), *arguments[:1], *arguments[1:2], path, *arguments[2:]]
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=environment)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout or path.read_text(encoding="utf-8")

    return run


@pytest.mark.parametrize("rules", RULES)
def test_what_we_sealed_is_opened_by_sops(run_sops: Callable[..., str], rules: SealRules) -> None:
    text = seal_text(VALUES, "values.yaml", [RECIPIENT], rules, NOW)
    assert read(run_sops(text, "decrypt")) == read(VALUES)


def test_what_we_sealed_is_changed_and_rotated_by_sops_and_opened_by_us(run_sops: Callable[..., str]) -> None:
    text = seal_text(VALUES, "values.yaml", [RECIPIENT], SealRules(), NOW)
    changed = run_sops(text, "set", "--idempotent", '["mongodb"]["password"]', '"another"')
    rotated = run_sops(changed, "rotate", "--in-place")
    opened = open_text(rotated, "values.yaml", parse_identities(SECRET))
    wanted = read(VALUES)
    wanted["mongodb"]["password"] = "another"
    assert read(opened) == wanted
    for comment in ("# how the chat is reached", "# made by hand", "# the first one"):
        assert comment in opened


def test_what_sops_sealed_is_given_to_others_by_us_and_opened_by_sops(
    seal: Callable[..., str], run_sops: Callable[..., str]
) -> None:
    _, other = generate_identity(post_quantum=False)
    text = seal(VALUES, "--unencrypted-suffix", "_plain")
    after = rotate_recipients(text, "values.yaml", parse_identities(SECRET), [other, RECIPIENT], NOW)
    assert read(run_sops(after, "decrypt")) == read(VALUES)
    again = run_sops(after, "rotate", "--in-place")
    assert read(run_sops(again, "decrypt")) == read(VALUES)
