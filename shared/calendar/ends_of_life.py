"""ends_of_life.yaml, read strictly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from shared.calendar.model import Deadline, DeadlineKind
from shared.kernel.errors import Corrupt
from shared.kernel.versions import Version
from shared.kernel.yaml_text import load_yaml

_FROZEN = frozenset({"bitnami", "bitnamilegacy"})
BITNAMI = "Bitnami's"  # how the names of those deadlines begin
_FILE = Path(__file__).with_name("ends_of_life.yaml")


@dataclass(frozen=True, slots=True)
class ProductLife:
    """The ends of one product's series: the last day by `major.minor`."""

    consequence: str
    source: str
    series: Mapping[str, date]


@cache
def load_ends_of_life() -> Mapping[str, ProductLife]:
    """By product. Raises Corrupt."""
    return parse_ends_of_life(_FILE.read_text(encoding="utf-8"))


def parse_ends_of_life(text: str) -> Mapping[str, ProductLife]:
    """By product. Raises Corrupt, naming the product."""
    data = load_yaml(text)
    if not isinstance(data, dict) or set(data) != {"checked", "products"}:
        raise Corrupt("the ends of life have to have checked and products, and nothing else")
    return {str(name): _parse_product(str(name), item) for name, item in data["products"].items()}


def _parse_product(name: str, item: Any) -> ProductLife:
    try:
        if set(item) != {"consequence", "source", "series"} or not item["source"].startswith("https://"):
            raise ValueError("it has to have consequence, source (https) and series, and nothing else")
        series = dict(item["series"])
        # A series without quotes would be a number, and 1.30 the same as 1.3.
        if not all(isinstance(one, str) and isinstance(end, date) for one, end in series.items()):
            raise ValueError("a series is a text, and its end a date")
        return ProductLife(str(item["consequence"]), item["source"], series)
    except (ValueError, TypeError, AttributeError) as error:
        raise Corrupt("the ends of life of a product cannot be read", value=f"{name}: {error}") from error


def frozen_images(images: Iterable[str], seen: datetime) -> Iterator[Deadline]:
    """One deadline for the images of Bitnami's free catalogue, which are frozen: of whatever version."""
    # `docker.io/bitnami/mongodb:8.0` and `bitnamilegacy/…`; `bitnamisecure` is their paid one.
    paths = [image.partition("@")[0].split("/") for image in images]
    frozen = {path[-1].partition(":")[0] for path in paths if _FROZEN & set(path[:-1])}
    if frozen:
        life = load_ends_of_life()["bitnami"]
        ends = datetime.combine(life.series["0.0"] + timedelta(days=1), time(), UTC)
        name = ", ".join(sorted(frozen))
        yield Deadline(DeadlineKind.END_OF_LIFE, f"{BITNAMI} {name}", ends, life.consequence, seen=seen)


def end_of_life(product: str, label: str, running: str, seen: datetime) -> Deadline:
    """The deadline of the series that runs; unknown where the version or its series is."""
    life = load_ends_of_life()[product]
    version = Version.parse(running)
    kind = DeadlineKind.END_OF_LIFE
    if version is None:
        return Deadline(kind, label, None, unknown="which version runs is not known")
    last = life.series.get(version.series)
    if last is None:
        reason = f"when {version.series} ends is not known to this version of Groundcrew: see {life.source}"
        return Deadline(kind, f"{label} {version.series}", None, unknown=reason, seen=seen)
    # The last day counts to its end.
    ends = datetime.combine(last + timedelta(days=1), time(), UTC)
    return Deadline(kind, f"{label} {version.series}", ends, life.consequence, seen=seen)
