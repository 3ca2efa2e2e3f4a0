"""The few numbers that trade memory for speed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tuning:
    """An upload holds `block_bytes * (blocks_in_flight + 1)` bytes, a stream two chunks."""

    block_bytes: int = 4 << 20
    blocks_in_flight: int = 3
    read_ahead: bool = True  # fetch the next chunk while the consumer works on this one
    rounds: int = 3  # how often a chunk is asked for; each round has all the retries of a request
    list_page: int = 5000  # names per request, Azure's limit
    renewals_per_lease: int = 3  # within one duration, so that two may fail
