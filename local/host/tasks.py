"""Waiting for the first of several things."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


async def first_of(*awaited: Awaitable[object]) -> None:
    """Return when one of them has ended, with its exception if it raised, and cancel the others."""
    tasks = [asyncio.ensure_future(one) for one in awaited]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        # Waited for: a cancelled task that still runs would touch what its caller has closed.
        await asyncio.gather(*tasks, return_exceptions=True)
