"""Whether Groundcrew can do its work now: settings, storage, MongoDB, and the age of the newest backup.

The answer is public, so it names what failed but never a value: no host, no account, no key.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from shared.kernel.errors import GroundcrewError
from shared.kernel.ports import Clock


def run_checks(checks: Mapping[str, Callable[[], str]], clock: Clock) -> dict[str, Any]:
    """Run every check; each returns a short text, or raises. One failure hides no other."""
    results = {name: _run_check(check) for name, check in checks.items()}
    healthy = all(result["ok"] for result in results.values())
    return {"status": "ok" if healthy else "failing", "at": clock.now().isoformat(), "checks": results}


def _run_check(check: Callable[[], str]) -> dict[str, Any]:
    started = time.monotonic()
    try:
        ok, message = True, check()
    except GroundcrewError as error:
        ok, message = False, error.public
    except Exception as error:  # noqa: BLE001 - a health check must answer; the class says enough in public
        ok, message = False, f"failed unexpectedly ({type(error).__name__})"
    return {"ok": ok, "message": message, "milliseconds": round((time.monotonic() - started) * 1000)}
