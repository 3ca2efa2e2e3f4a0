"""Finds plaintext secrets in any file of a repository; says where, never what. Pure.

Values files and manifests are looked at as YAML, by the finder that deploys use; Secret objects with values
count, since they are committed. Every file is looked at line by line, too: for what has a secret's form,
and for assignments to a name of a secret. `groundcrew:allow-secret REASON` on a line lets it pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.deploy.chart.assignments import find_assigned_name
from shared.deploy.chart.secret_scan import find_manifest_secrets, find_values_secrets
from shared.formats.chartyaml import read_manifests, read_values
from shared.kernel.errors import Refused
from shared.kernel.redact import holds_secret

# What no form of `shared.kernel.redact` covers: our own signing keys.
_OWN_FORMS = re.compile(r"groundcrew-sign-secret-[A-Za-z0-9_-]{20,}")
# Tokens of services that stand around a chat, by the beginnings that their makers gave them to be found by:
# GitLab, SendGrid, Stripe, Google, npm, PyPI, DigitalOcean, HashiCorp Vault, Grafana, Twilio, Slack (apps and
# webhooks), Discord's and Teams' webhooks, Telegram's bots, client secrets of Entra ID.
_SERVICE_FORMS = re.compile(
    r"\bgl(?:pat|dt|rt|ptt)-[\w-]{20,}|\bSG\.[\w-]{20,}\.[\w-]{20,}|\b[sr]k_live_[A-Za-z0-9]{16,}"
    r"|\bAIza[\w-]{35}|\bnpm_[A-Za-z0-9]{36}|\bpypi-AgE[\w-]{50,}|\bdo[opr]_v1_[0-9a-f]{64}"
    r"|\bhv[sb]\.[\w-]{24,}|\bgl(?:sa|c)_[A-Za-z0-9+/=_]{32,}|\b(?:SK|AC)[0-9a-f]{32}\b|\bxapp-\d-[\w-]{20,}"
    r"|https://hooks\.slack\.com/(?:services|workflows)/[\w/+-]{30,}"
    r"|https://(?:\w+\.)?discord(?:app)?\.com/api/webhooks/\d+/[\w-]{40,}"
    r"|https://[\w.-]+\.webhook\.office\.com/webhookb2/[\w@/-]{60,}"
    r"|(?<![\w:])\d{8,10}:AA[\w-]{33}(?![\w-])|(?<![\w~.-])[\w~.-]{3}\dQ~[\w~.-]{31,34}(?![\w~.-])",
    re.ASCII,
)
_ALLOWED = re.compile(r"groundcrew:allow-secret\s+\S")
# MongoDB's keyFile: 6 to 1024 letters of Base64, and nothing else in the file.
# https://www.mongodb.com/docs/manual/core/security-internal-authentication/#keyfiles
_KEY_FILE = re.compile(r"\s*[A-Za-z0-9+/=\s]{300,1200}\s*", re.ASCII)
# The patterns go over each line: a dump that was committed would keep CI busy for minutes.
_MOST_CHARACTERS = 2_000_000


@dataclass(frozen=True, slots=True)
class PlaintextSecret:
    """One finding; `line` counts from 1."""

    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


def scan_text(path: str, text: str) -> list[PlaintextSecret]:
    """Plaintext secrets in one file, in the order of their lines; each line once."""
    lines = text[:_MOST_CHARACTERS].splitlines()
    allowed = {number for number, line in enumerate(lines, 1) if _ALLOWED.search(line)}
    secrets: dict[int, str] = {}
    for line, what in (*_scan_lines(lines), *_scan_yaml(path, text), *_scan_key_file(text)):
        if line not in allowed:
            secrets.setdefault(line, what)
    return [PlaintextSecret(path, line, secrets[line]) for line in sorted(secrets)]


def _scan_lines(lines: list[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, 1):
        if "ENC[AES256_GCM" in line:
            continue
        if holds_secret(line) or _OWN_FORMS.search(line) or _SERVICE_FORMS.search(line):
            yield number, "it has the form of a secret"
            continue
        name = find_assigned_name(line)
        if name:
            yield number, f"a value for {name}"


def _scan_yaml(path: str, text: str) -> Iterator[tuple[int, str]]:
    """As values, or as manifests; a file that is neither, such as a template, is looked at by its lines."""
    if not path.endswith((".yaml", ".yml")):
        return
    try:
        file = read_values(text, path)
        if "kind" not in file.values:
            for finding in find_values_secrets(file.values, file.lines):
                yield max(1, finding.line), f"{finding.where}: {finding.message}"
            return
        manifests = read_manifests(text, path)
    except Refused:
        return
    for manifest in manifests:
        if manifest.get("kind") == "Secret" and _has_values(manifest):
            yield _line_of(text, manifest), "a Secret with its values"
    for finding in find_manifest_secrets(manifests):
        yield 1, f"{finding.where}: {finding.message}"


def _has_values(secret: Mapping[str, Any]) -> bool:
    values = [*(secret.get("data") or {}).values(), *(secret.get("stringData") or {}).values()]
    return any(str(one).strip() and "ENC[AES256_GCM" not in str(one) for one in values)


def _line_of(text: str, manifest: Mapping[str, Any]) -> int:
    name = str((manifest.get("metadata") or {}).get("name") or "")
    lines = enumerate(text.splitlines(), 1)
    return next(
        (number for number, line in lines if re.search(rf"name:\s*[\"']?{re.escape(name)}\b", line)), 1
    )


def _scan_key_file(text: str) -> Iterator[tuple[int, str]]:
    """A file that is nothing but Base64, as MongoDB's keyFile."""
    # More kinds of letters than a word list or a line of dashes has.
    if _KEY_FILE.fullmatch(text) and len(set(text)) > 30:
        yield 1, "a key file"
