"""A few hundred changed inputs for each reader in every run; `make fuzz` goes on for as long as one likes."""

from __future__ import annotations

import random

import pytest

from shared.kernel.errors import GroundcrewError
from tests.fuzz.mutate import mutate
from tests.fuzz.targets import TARGETS

INPUTS = 150


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_is_read_or_refused_by_one_of_our_errors(name: str) -> None:
    target, source = TARGETS[name], random.Random(1)
    corpus = target.make_corpus()
    for number in range(INPUTS):
        data = mutate(source, corpus)
        try:
            target.read(data)
        except GroundcrewError:
            continue
        except Exception as error:
            raise AssertionError(f"{name}, input {number}: {data[:200]!r}") from error


def test_all_that_strangers_write_is_among_the_readers() -> None:
    named = {"archive", "manifest", "policy", "webhook", "chat command", "ncrontab", "sops", "tarball"}
    assert named <= TARGETS.keys()


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_itself_is_read(name: str) -> None:
    target = TARGETS[name]
    for data in target.make_corpus():
        if name != "values" or b"*x" not in data:
            target.read(data)
