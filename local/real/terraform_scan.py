"""Checkov over infra/terraform, in an environment of its own, held to the reasons in `checkov.yaml` there.

Offline: it asks its vendor's platform for names and severities only with a key, which it is not given.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from local.real import ROOT, directory
from shared.kernel.errors import Corrupt, Unavailable

TERRAFORM: Final = ROOT / "infra" / "terraform"
EXCEPTIONS: Final = TERRAFORM / "checkov.yaml"
REQUIREMENTS: Final = Path(__file__).with_name("checkov") / "requirements.txt"
_INSTALL_SECONDS: Final = 900  # a hundred packages
_SCAN_SECONDS: Final = 600  # 10 s of one core; the machine is shared


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A check that a resource does not pass; `resource` is its address within its root."""

    check: str
    resource: str


def bring_checkov() -> Path:
    """The program, installed by its lock if this lock was not installed yet. Raises Unavailable."""
    folder = directory() / "checkov"
    program, stamp = folder / "bin" / "checkov", folder / "installed"
    lock = REQUIREMENTS.read_text(encoding="utf-8")
    if program.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == lock:
        return program
    steps = (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(folder / "bin" / "pip"), "install", "--quiet", "--require-hashes", "-r", str(REQUIREMENTS)],
    )
    for argv in steps:
        done = _run(argv, seconds=_INSTALL_SECONDS)
        if done.returncode:
            raise Unavailable("checkov cannot be installed", value=done.stderr.strip()[-500:])
    # Last: an installation that was cut off is begun anew.
    stamp.write_text(lock, encoding="utf-8")
    return program


def scan_terraform(program: Path, folder: Path = TERRAFORM) -> frozenset[Finding]:
    """What both roots with their modules do not pass. Raises Corrupt if checkov could not read all of them.

    Its exit code says nothing: 1 for findings as for faults.
    """
    argv = [
        str(program), "--directory", str(folder), "--framework", "terraform", "--output", "json",
        "--quiet", "--download-external-modules", "false",
    ]  # fmt: skip
    done = _run(argv, seconds=_SCAN_SECONDS, BC_SKIP_MAPPING="TRUE")
    try:
        report: dict[str, Any] = json.loads(done.stdout)
        summary, failed = report["summary"], report["results"]["failed_checks"]
        findings = frozenset(Finding(one["check_id"], one["resource"]) for one in failed)
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt("this is no report of checkov", value=(done.stderr or done.stdout)[-500:]) from error
    if summary["parsing_errors"] or not summary["passed"]:
        raise Corrupt("checkov did not read infra/terraform", value=summary)
    return findings


def read_exceptions(text: str) -> dict[Finding, str]:
    """The reason of each finding that stays. Raises Corrupt for an entry without one, or a second one."""
    reasons: dict[Finding, str] = {}
    for entry in yaml.safe_load(text):
        for resource in entry["resources"]:
            finding = Finding(entry["check"], resource)
            if finding in reasons or not str(entry.get("reason", "")).strip():
                raise Corrupt("needs one reason", value=finding, hint=f"See {EXCEPTIONS.name}.")
            reasons[finding] = entry["reason"]
    return reasons


def compare(findings: Iterable[Finding], reasons: Iterable[Finding]) -> list[str]:
    """What is to be done, one line each: findings without a reason, reasons without a finding."""
    found, reasoned = set(findings), set(reasons)
    return [
        *(f"{one.check} {one.resource}: change it, or give a reason" for one in sorted(found - reasoned)),
        *(f"{one.check} {one.resource}: is no finding; remove it" for one in sorted(reasoned - found)),
    ]


def _run(argv: list[str], *, seconds: float, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv, env={**os.environ, **environment}, check=False, capture_output=True, text=True, timeout=seconds
    )
