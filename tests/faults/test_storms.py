"""A few storms of each job in every run; `make faults` runs as many as one likes."""

from __future__ import annotations

import pytest

from tests.faults.scenarios import SCENARIOS
from tests.faults.storm import Storm

SEEDS = 3


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("job", SCENARIOS)
def test_after_a_storm_nothing_is_lost_doubled_or_left_open(job: str, seed: int) -> None:
    SCENARIOS[job](Storm(seed))


def test_the_same_seed_brings_the_same_storm() -> None:
    tried = []
    for _ in range(2):
        storm = Storm(3)
        SCENARIOS["nightly backup"](storm)
        tried.append(storm.tried)
    assert tried[0] == tried[1]
    assert tried[0]
