"""OpenTofu for what needs no provider: formatting, and modules and variables of plain values."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.real import find_program
from tests.infra import hcl

LACKING = "no OpenTofu: install tofu, or `make real SLOW=1`"


def find() -> str | None:
    """The program, or None. Terraform does as well."""
    if built := find_program("tofu"):
        return str(built)
    return shutil.which("tofu") or shutil.which("terraform")


def run(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run it in a folder without anybody's configuration; `more` is for its environment."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TF_CLI_CONFIG_FILE": os.devnull,
        "CHECKPOINT_DISABLE": "1",
        "TF_IN_AUTOMATION": "1",
        **more,
    }
    argv = [find() or "tofu", *words]
    return subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def plan(folder: Path, variables: Mapping[str, Any]) -> str:
    """What a plan says: its errors as one line each, or the planned outputs as JSON."""
    (folder / "test.tfvars.json").write_text(json.dumps(variables), encoding="utf-8")
    if (folder / "module").is_dir():
        ready = run(folder, "init", "-no-color", "-backend=false", "-input=false")
        assert ready.returncode == 0, ready.stderr
    done = run(folder, "plan", "-no-color", "-input=false", "-var-file=test.tfvars.json", "-out=plan")
    if done.returncode:
        return re.sub(r"\s*\n[│|]?\s*", " ", done.stderr)
    shown = json.loads(run(folder, "show", "-json", "plan").stdout)
    changes = shown.get("output_changes", {})
    return json.dumps({name: change["after"] for name, change in changes.items()})


def call_module(name: str, into: Path) -> None:
    """Write a root that calls a module without providers by its own variables, and outputs its outputs."""
    variables = hcl.load_all()[f"modules/{name}"]["variable"]
    shutil.copytree(hcl.TERRAFORM / "modules" / name, into / "module")
    declared = "".join(f'variable "{one}" {{}}\n' for one in variables)
    given = "".join(f"  {one} = var.{one}\n" for one in variables)
    call = f'module "it" {{\n  source = "./module"\n{given}}}\n'
    output = 'output "it" {\n  value = module.it\n}\n'
    (into / "main.tf").write_text(declared + call + output, encoding="utf-8")
