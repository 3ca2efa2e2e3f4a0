"""Whether Groundcrew could do its work now: settings, storage, MongoDB, and how old the newest backup is.

The answer is public, so it names what failed but never a value: no host, no account, no key.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from shared.kernel.errors import GroundcrewError
from shared.kernel.ports import Clock


def report(checks: Mapping[str, Callable[[], str]], clock: Clock) -> dict[str, Any]:
    """Run every check; each returns a word on what it found, or raises. One failure hides no other."""
    results = {name: _run(check) for name, check in checks.items()}
    healthy = all(result["ok"] for result in results.values())
    return {"status": "ok" if healthy else "failing", "at": clock.now().isoformat(), "checks": results}


def _run(check: Callable[[], str]) -> dict[str, Any]:
    begun = time.monotonic()
    try:
        ok, found = True, check()
    except GroundcrewError as error:
        ok, found = False, error.public
    except Exception as error:  # noqa: BLE001 - a health check must answer; the class says enough in public
        ok, found = False, f"failed unexpectedly ({type(error).__name__})"
    return {"ok": ok, "found": found, "milliseconds": round((time.monotonic() - begun) * 1000)}
