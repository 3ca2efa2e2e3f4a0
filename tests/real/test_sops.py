"""Values files that the real sops sealed, opened and checked by us."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from shared.formats import sops
from shared.formats.agekeys import generate_identity, parse_identities
from shared.kernel.errors import GroundcrewError

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


@pytest.fixture
def seal(program: Find, tmp_path: Path) -> Callable[..., str]:
    """`sops encrypt` with a key of this run."""

    def seal(text: str, *options: str) -> str:
        path = tmp_path / "values.yaml"
        path.write_text(text, encoding="utf-8")
        argv = [program("sops"), "encrypt", "--age", RECIPIENT, *options, path]
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    return seal


@pytest.mark.parametrize(
    "options",
    [
        pytest.param((), id="everything encrypted"),
        pytest.param(("--encrypted-regex", "^(password|value)$"), id="by a pattern of keys"),
        pytest.param(("--unencrypted-suffix", "_plain"), id="all but a suffix"),
        pytest.param(("--mac-only-encrypted", "--encrypted-regex", "^password$"), id="MAC over encrypted"),
    ],
)
def test_what_sops_sealed_is_opened_as_it_was(seal: Callable[..., str], options: tuple[str, ...]) -> None:
    sealed = seal(VALUES, *options)
    text, secrets = sops.decrypt(sealed, "values.yaml", parse_identities(SECRET))
    assert yaml.safe_load(text) == yaml.safe_load(VALUES)
    assert "p4ssw0rd-猫" in secrets


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
