"""What each root makes, as OpenTofu lists it after an apply against mocks: docs/terraform-resources.md.

`python -m tests.infra.resource_lists` writes the page anew; test_plan.py holds it.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.infra import hcl, tofu
from tests.infra.schema_provider import providers

PAGE = hcl.ROOT / "docs" / "terraform-resources.md"
# The runs of tests/plan.tftest.hcl, and what they are for a reader.
RUNS = {
    "first_apply": "The first apply",
    "after_the_deployment": "Besides, once the code is deployed, with a zone of DNS",
    "locked_and_with_atlas": "Besides, with locked backups and MongoDB in Atlas",
}
_HEAD = """# What Terraform makes

Both roots, applied against mock providers with their real arguments and references; this is what each run of
`tests/plan.tftest.hcl` made. Written by `python -m tests.infra.resource_lists`; a test holds it.
[From nothing to running](runbooks/from-nothing-to-running.md) has the commands.
"""


def copy_terraform(into: Path) -> Path:
    """A copy without `prevent_destroy`, which keeps a test from clearing up; returns its Terraform."""
    terraform = into / "infra" / "terraform"
    shutil.copytree(hcl.TERRAFORM, terraform)
    shutil.copy(hcl.ROOT / "policy.yaml", into)
    for path in terraform.rglob("*.tf"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("prevent_destroy = true", "prevent_destroy = false"), encoding="utf-8")
    return terraform


# Of a plan, or of what was applied; not what is only read.
_MADE = re.compile(r" *# (?!(?:module\.\w+\.)?data\.)(.+?)(?: will be created|:)")


def parse_runs(output: str) -> dict[str, list[str]]:
    """The addresses of managed resources by run, of `test -verbose`: of a plan or of what was applied."""
    made: dict[str, list[str]] = {}
    for line in output.splitlines():
        if run := re.search(r'run "(\w+)"\.\.\. ', line):
            made[run[1]] = addresses = []
        elif made and (resource := _MADE.fullmatch(line)):
            addresses.append(resource[1])
    return made


def render(roots: Mapping[str, Mapping[str, Sequence[str]]]) -> str:
    """The page: for each root what the first run makes, and what each later one makes besides."""
    lines = [_HEAD]
    for root, runs in roots.items():
        before: set[str] = set()
        lines += [f"## The root `{root}`", ""]
        for run in (name for name in RUNS if name in runs):
            new = sorted(set(runs[run]) - before)
            before |= set(new)
            lines += [f"### {RUNS[run]}: {len(new)} resources", "", "```", *new, "```", ""]
    return "\n".join(lines)


def main() -> int:
    """Write the page."""
    with tempfile.TemporaryDirectory() as name, providers() as reattach:
        terraform, roots = copy_terraform(Path(name)), {}
        for root in hcl.ROOTS:
            tofu.run(
                terraform / root, "init", "-backend=false", "-input=false", TF_REATTACH_PROVIDERS=reattach
            )
            done = tofu.run(terraform / root, "test", "-verbose", "-no-color", TF_REATTACH_PROVIDERS=reattach)
            if done.returncode:
                print(done.stdout + done.stderr, file=sys.stderr)
                return 1
            roots[root] = parse_runs(done.stdout)
    PAGE.write_text(render(roots), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(hcl.ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
