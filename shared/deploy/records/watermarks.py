"""The version watermark of a release's data, as one blob: see `shared.deploy.watermark`.

Only the holder of the release's lease writes it.
"""

from __future__ import annotations

from shared.deploy.watermark import RUNBOOK, VersionWatermark
from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import Corrupt, NotFound
from shared.kernel.ports import Blobs
from shared.kernel.timestamps import parse_timestamp

_OLD_KEYS = {"old": "previous_version", "at": "raised_at"}  # keys that earlier versions wrote


class WatermarkStore:
    """`deploys/mark/<namespace>-<release>.json` in the container `groundcrew`."""

    def __init__(self, blobs: Blobs, namespace: str, release: str) -> None:
        self._blobs, self._name = blobs, f"deploys/mark/{namespace}-{release}.json"

    def read(self) -> VersionWatermark | None:
        """The watermark, if one is set. Raises Corrupt: what cannot be read must not be taken for none."""
        try:
            data = self._blobs.read(self._name)[0]
        except NotFound:
            return None
        document = {_OLD_KEYS.get(key, key): value for key, value in decode_json(data, self._name).items()}
        try:
            return VersionWatermark(**{**document, "raised_at": parse_timestamp(document["raised_at"])})
        except (ValueError, TypeError, KeyError) as error:
            raise Corrupt(
                f"{self._name} is no version watermark", value=type(error).__name__, hint=f"See {RUNBOOK}."
            ) from error

    def save(self, watermark: VersionWatermark) -> None:
        """From now on nothing older than its version is started."""
        self._blobs.replace(self._name, encode_json(watermark), etag=None)

    def clear(self) -> None:
        """The data are those of what is deployed; clearing none is fine."""
        self._blobs.delete(self._name)
