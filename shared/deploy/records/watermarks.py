"""The high-water mark of a release's data, as one blob: see `shared.core.deploy_mark`.

Only the holder of the release's lease writes it.
"""

from __future__ import annotations

from shared.deploy.watermark import VersionWatermark
from shared.kernel.codec import decode_json, encode_json
from shared.kernel.errors import Corrupt, NotFound
from shared.kernel.ports import Blobs
from shared.kernel.timestamps import parse_timestamp


class WatermarkStore:
    """`deploys/mark/<namespace>-<release>.json` in the container `groundcrew`."""

    def __init__(self, blobs: Blobs, namespace: str, release: str) -> None:
        self._blobs, self._name = blobs, f"deploys/mark/{namespace}-{release}.json"

    def read(self) -> VersionWatermark | None:
        """The mark, if one stands. Raises Corrupt: what cannot be read must not be taken for none."""
        try:
            data = self._blobs.read(self._name)[0]
        except NotFound:
            return None
        plain = decode_json(data, self._name)
        try:
            return VersionWatermark(**{**plain, "at": parse_timestamp(plain["at"])})
        except (ValueError, TypeError, KeyError) as error:
            hint = "See docs/runbooks/restore-after-a-deploy.md."
            raise Corrupt(f"{self._name} is no mark", value=type(error).__name__, hint=hint) from error

    def set(self, watermark: VersionWatermark) -> None:
        """From now on nothing older than its version is started."""
        self._blobs.replace(self._name, encode_json(watermark), etag=None)

    def clear(self) -> None:
        """The data are those of what is deployed; clearing none is fine."""
        self._blobs.delete(self._name)
