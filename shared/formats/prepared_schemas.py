"""The validators' schemas of strict records, made with the package instead of by each worker.

pydantic makes the schema of a class from its annotations, and pydantic_core checks by it. The first costs a
fresh worker a fifteenth of a second of CPU, and its answer is the same each time; the second is light.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from typing import Any

_REFERENCES = ("ref", "schema_ref")  # of a core schema: what other schemas name it by
_ADDRESS = re.compile(r":\d{6,}")
PACKED = Path(__file__).with_name("prepared_schemas.bin")  # in the package only


def build_validator(kind: type, path: Path = PACKED) -> Any:
    """What has `validate_json` for the class: by its packed schema, or by one that pydantic makes now."""
    packed = _read_packed(path).get(_name_of(kind))
    if packed is None:
        from pydantic import TypeAdapter

        return TypeAdapter(kind)
    from pydantic_core import SchemaValidator

    # S301: a file as trusted as the bytecode beside it.
    return SchemaValidator(pickle.loads(packed))  # noqa: S301


@cache
def _read_packed(path: Path) -> Mapping[str, bytes]:
    """The schemas by the names of their classes; none if the file is absent, cut, or of another Python."""
    try:
        packed = path.read_bytes()
        if not packed.startswith(MAGIC_NUMBER):
            return {}
        return dict(pickle.loads(packed[len(MAGIC_NUMBER) :]))  # noqa: S301 - as above
    except (OSError, ValueError, EOFError, TypeError, pickle.UnpicklingError):
        return {}


def pack_schemas(kinds: Sequence[type], path: Path = PACKED) -> None:
    """Write the schemas of these classes."""
    from pydantic import TypeAdapter

    # Each for itself: who reads one record imports no class of the others.
    packed = {
        _name_of(kind): pickle.dumps(_without_addresses(TypeAdapter(kind).core_schema), protocol=5)
        for kind in kinds
    }
    path.write_bytes(MAGIC_NUMBER + pickle.dumps(packed, protocol=5))


def _without_addresses(value: Any) -> Any:
    """The schema without the addresses in memory by which pydantic tells classes of one name apart.

    They differ each time, and the same inputs are to give the same package.
    """
    if isinstance(value, dict):
        return {
            key: _ADDRESS.sub("", item) if key in _REFERENCES else _without_addresses(item)
            for key, item in value.items()
        }
    return [_without_addresses(item) for item in value] if isinstance(value, list) else value


def _name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def main() -> None:
    """Pack what all modules of the app declare."""
    from shared.formats.strict_json import RECORDS
    from shared.kernel.dataclass_code import import_modules

    import_modules("shared")
    pack_schemas(RECORDS)


if __name__ == "__main__":
    main()
