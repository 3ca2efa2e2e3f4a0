"""Kubernetes quantities (`500m`, `2Gi`) in base units.

Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re

_QUANTITY = re.compile(
    r"([+-]?\d+(?:\.\d+)?|[+-]?\.\d+)(?:[eE]([+-]?\d{1,2})|(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE])?)", re.ASCII
)


_SUFFIX = {
    "": 1.0,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
    **{f"{letter}i": 2.0 ** (10 * power) for power, letter in enumerate("KMGTPE", start=1)},
}


def parse_quantity(text: object) -> float:
    """A Kubernetes quantity (`512Mi`, `300m`, `1e3`, 2) in base units. Raises ValueError.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
    """
    match = _QUANTITY.fullmatch(str(text))
    if match is None or isinstance(text, bool):
        raise ValueError(f"not a quantity: {text!r}")
    return float(match[1]) * (10.0 ** int(match[2]) if match[2] else _SUFFIX[match[3] or ""])
