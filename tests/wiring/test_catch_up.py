"""`catch_up` and `tick` make up for every timer that there is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from shared.settings.timers import SCHEDULES

ROOT = Path(__file__).resolve().parents[2]
# In a process of its own, since the wiring remembers the environment it was first asked in.
ASK = """
import json
from shared.wiring import catch_up
print(json.dumps([catch_up.MADE_UP_BY, [*catch_up.overdue_jobs()]]))
"""


def test_every_timer_is_made_up_for(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    secret = "{name: mail, kind: smtp, homes: ['setting:MAIL_URL']}"
    policy.write_text(
        f"certificates: {{hosts: [chat.example.org]}}\nsecrets: {{known: [{secret}]}}\n"
        "hardening: {enabled: true}\n"
    )
    settings = {
        "GROUNDCREW_POLICY": str(policy),
        "DRILL_MONGODB_URI": "mongodb://127.0.0.1:1",
        "AZURE_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000000",
    }
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=ROOT, env={"PYTHONPATH": str(ROOT), **settings},
        capture_output=True, text=True, check=True, timeout=100,
    )  # fmt: skip
    made_up_by, jobs = json.loads(done.stdout)
    assert made_up_by.keys() == SCHEDULES.keys() - {"catch_up"}
    assert set(made_up_by.values()) <= set(jobs)


def test_every_timer_puts_its_runs_on_record() -> None:
    source = "".join(path.read_text() for path in (ROOT / "functions").glob("*.py"))
    assert [timer for timer in SCHEDULES if f'run_timer("{timer}", ' not in source] == []
