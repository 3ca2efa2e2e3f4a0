"""The status page from a year of runs: our own time, the calls to the storage, and the page's weight."""

from __future__ import annotations

import gc
import time
from typing import Any

from shared.status.page import StatusPage, render_page
from shared.web.signin import PageAccess
from tests.support.status_world import StatusWorld

RUNS_A_DAY, LOOKS = 137, 20  # 50,000 records a year


def run() -> dict[str, Any]:
    """`milliseconds` (the slowest of twenty looks, processor time), `blob_calls`, `kilobytes`, `records`."""
    world = StatusWorld(RUNS_A_DAY)
    page = StatusPage(PageAccess(sign_in="none"), world.collect)
    render_page(page, {}, as_json=False)  # imports and compiled patterns belong to the cold start
    gc.collect()
    took = []
    for _ in range(LOOKS):
        began = time.process_time()
        answer = render_page(page, {}, as_json=False)
        took.append((time.process_time() - began) * 1000)
    return {
        "status": {
            "milliseconds": round(max(took), 1),
            "blob_calls": world.blob_calls,
            "kilobytes": round(len(answer.body.encode()) / 1000, 1),
            "records": world.records,
        }
    }
