"""The charts that lie in a chart's `charts/`, in folders and packed, with the values they bring along."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from shared.deploy.chart.metadata import ChartMetadata, read_chart_metadata
from shared.deploy.chart.read_paths import ValuePath, find_read_paths
from shared.formats.chartyaml import ValuesFile, read_values
from shared.formats.tarball import Limits, files_below, read_files
from shared.kernel.errors import Corrupt, Refused
from shared.kubernetes.objects import printable_name

# Rocket.Chat's has a handful. A chart that holds itself, packed, would otherwise be unpacked for ever.
MOST_CHARTS = 50
_LIMITS = Limits(entries=5_000, unpacked_bytes=64 << 20, total_bytes=16 << 20)
_FOLDER = re.compile(r"(charts/[^/]+)/Chart\.yaml")
_PACKED = re.compile(r"charts/[^/]+\.tgz")


@dataclass(frozen=True, slots=True)
class ChartTree:
    """A chart with its own values and the charts below it; `place` is its path, empty for the topmost.

    `reads` are the paths of values that its templates read, None if that cannot be told; `crds` the files of
    its folder `crds/`.
    """

    place: str
    head: ChartMetadata
    own: ValuesFile = field(repr=False)
    below: tuple[ChartTree, ...] = ()
    reads: frozenset[ValuePath] | None = None
    crds: tuple[str, ...] = ()

    @property
    def values_name(self) -> str:
        """The path of its values."""
        return f"{self.place}/values.yaml".removeprefix("/")

    def all(self) -> Iterator[ChartTree]:
        """It and everything below it."""
        yield self
        for one in self.below:
            yield from one.all()


def read_chart_tree(files: Mapping[str, bytes]) -> ChartTree:
    """The chart that the files are. Raises `Refused` if it, or one it brings along, cannot be read."""
    return _read_subtree(dict(files), "", iter(range(MOST_CHARTS)))


def _read_subtree(files: dict[str, bytes], place: str, remaining: Iterator[int]) -> ChartTree:
    if next(remaining, None) is None:
        raise Refused("the chart brings along more charts than allowed", value=MOST_CHARTS)
    name = f"{place}/values.yaml".removeprefix("/")
    text = files.get("values.yaml", b"").decode("utf-8", "replace")
    inner = [
        _read_subtree(subchart, f"{place}/{path}".removeprefix("/"), remaining)
        for path, subchart in _find_subcharts(files, place)
    ]
    head, own = read_chart_metadata(files), read_values(text, name)
    crds = tuple(path for path in sorted(files) if path.startswith("crds/"))
    return ChartTree(place, head, own, tuple(inner), _find_reads(files, inner), crds)


def _find_reads(files: Mapping[str, bytes], inner: Sequence[ChartTree]) -> frozenset[ValuePath] | None:
    """What the chart's templates read, and those of the libraries that it includes with its own values."""
    templates = {path: data for path, data in files.items() if path.startswith("templates/")}
    every = [find_read_paths(templates), *(one.reads for one in inner if one.head.is_library)]
    known = [one for one in every if one is not None]
    return frozenset().union(*known) if len(known) == len(every) else None


def _find_subcharts(files: dict[str, bytes], place: str) -> Iterator[tuple[str, dict[str, bytes]]]:
    for path, data in files.items():
        folder = _FOLDER.fullmatch(path)
        if folder:
            yield folder[1], files_below(files, folder[1])
        elif _PACKED.fullmatch(path):
            yield path, _unpack_chart(data, f"{place}/{path}".removeprefix("/"))


def _unpack_chart(data: bytes, place: str) -> dict[str, bytes]:
    try:
        names = ("Chart.yaml", "Chart.lock", "values.yaml", "charts", "crds", "templates")
        return read_files([data], names, limits=_LIMITS)
    except (Corrupt, Refused) as error:
        hint = "Pack it anew with helm dependency update"
        raise Refused(
            f"{printable_name(place)} is no packed chart", value=error.message, hint=hint
        ) from error
