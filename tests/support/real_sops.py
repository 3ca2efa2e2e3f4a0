"""Values that we and the real sops seal, edit and rotate in turn, as people with either of both would."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from local.deploy_demo import VALUES_FILE
from shared.formats.agekeys import parse_identities
from shared.formats.sops_writer import SealRules, open_text, reseal, rotate_recipients, seal

_KEY = "groundcrew/greeting"
_RULES = SealRules(encrypted_regex=f"^{_KEY}$")


def seal_then_sops(
    sops: Path, folder: Path, greeting: str, values: str, recipient: str, secret: str
) -> bytes:
    """Sealed by us; its greeting set, and the whole put under a new key, by sops."""
    sealed = seal(values, VALUES_FILE, [recipient], _RULES, datetime.now(UTC))
    file = folder / VALUES_FILE
    file.write_text(sealed, encoding="utf-8")
    _run(sops, secret, "set", file, f'["podAnnotations"]["{_KEY}"]', f'"{greeting}"')
    _run(sops, secret, "rotate", "--in-place", file)
    return file.read_bytes()


def sops_then_edit(
    sops: Path, folder: Path, greeting: str, values: str, recipient: str, secret: str
) -> bytes:
    """Sealed by sops; its greeting edited, and the whole put under a new key, by us."""
    file = folder / VALUES_FILE
    file.write_text(values, encoding="utf-8")
    sealed = _run(sops, secret, "encrypt", "--age", recipient, "--encrypted-regex", f"^{_KEY}$", file)
    identities, now = parse_identities(secret), datetime.now(UTC)
    plain = open_text(sealed, VALUES_FILE, identities).splitlines(keepends=True)
    changed = [f"  {_KEY}: {greeting}\n" if _KEY in line else line for line in plain]
    edited = reseal("".join(changed), sealed, VALUES_FILE, identities, now)
    return rotate_recipients(edited, VALUES_FILE, identities, [recipient], now).encode()


def _run(sops: Path, secret: str, *arguments: str | Path) -> str:
    environment = {**os.environ, "SOPS_AGE_KEY": secret}
    ran = subprocess.run(
        [sops, *arguments], capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
