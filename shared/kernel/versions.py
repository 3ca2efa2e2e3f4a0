"""Versions as Rocket.Chat, Helm and Kubernetes write them, compared by semver."""

from __future__ import annotations

import re
from dataclasses import dataclass

_VERSION = re.compile(r"v?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,6}))?(?:[-+.][0-9A-Za-z.+-]*)?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """Three numbers; what comes after them (a flavour of an image, a release candidate) does not count."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def series(self) -> str:
        """`major.minor`, by which MongoDB's compatibility is stated."""
        return f"{self.major}.{self.minor}"

    @classmethod
    def parse(cls, text: str) -> Version | None:
        """`8.2.1`, `v8.2`, `8.2.1-debian-12-r0`; None for anything else."""
        # Bounded numbers: a date such as 20260301 is a tag, and no version to be compared.
        match = _VERSION.fullmatch(text)
        return cls(int(match[1]), int(match[2]), int(match[3] or 0)) if match else None
