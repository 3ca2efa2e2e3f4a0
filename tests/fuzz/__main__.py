"""`python -m tests.fuzz [--seconds 10] [--seed N] [--target NAME]`: readers against changed inputs.

Not guided by coverage: it looks for what the readers of strangers' bytes do not expect, not for every path.
"""

from __future__ import annotations

import argparse
import logging
import random
import secrets
import sys
import time

from shared.kernel.errors import GroundcrewError
from tests.fuzz.mutate import mutate
from tests.fuzz.targets import TARGETS, FuzzTarget

# Of a processor's time, for an input of a few kilobytes: more is a way to keep a worker busy by one request.
_SLOWEST_SECONDS = 2.0


def main() -> int:
    """0 if everything was read, or refused by one of our errors."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="for each reader")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32))
    parser.add_argument("--target", choices=list(TARGETS))
    arguments = parser.parse_args()
    logging.disable()
    names = [arguments.target] if arguments.target else list(TARGETS)
    print(f"seed {arguments.seed}\n{'reader':20}{'inputs':>10}{'slowest':>10}")
    return 1 if [name for name in names if not _try_target(name, arguments.seed, arguments.seconds)] else 0


def _try_target(name: str, seed: int, seconds: float) -> bool:
    target, source = TARGETS[name], random.Random(seed)
    corpus, end = target.make_corpus(), time.monotonic() + seconds
    count, slowest, surprises = 0, 0.0, set[str]()
    while time.monotonic() < end:
        data, began = mutate(source, corpus), time.process_time()
        if (surprise := _read(target, data)) and surprise not in surprises:
            surprises.add(surprise)
            print(f"{name}, input {count}: {surprise}: {data[:200]!r}", file=sys.stderr)
        took = time.process_time() - began
        if took > _SLOWEST_SECONDS and "slow" not in surprises:
            surprises.add("slow")
            print(f"{name}, input {count}: took {took:.1f} s: {data[:200]!r}", file=sys.stderr)
        slowest, count = max(slowest, took), count + 1
    print(f"{name:20}{count:10}{slowest:9.3f}s")
    return not surprises


def _read(target: FuzzTarget, data: bytes) -> str:
    """What was raised and is none of ours; empty for nothing."""
    try:
        target.read(data)
    except GroundcrewError:
        return ""
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        return f"{type(error).__name__}: {error}"[:80]
    return ""


if __name__ == "__main__":
    raise SystemExit(main())
