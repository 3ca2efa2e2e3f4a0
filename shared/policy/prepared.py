"""The policy as the package carries it: checked when the package was built, read without pydantic.

To check `policy.yaml` costs a fresh worker a fifth of a second of CPU: pydantic, a validator for each of
thirty sections, YAML in Python. The text is checked where the package is built, by the same code, and its
values are kept beside it under the text's checksum. Any other text is checked as ever.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from shared.policy import computed

if TYPE_CHECKING:
    from shared.policy import Policy

PACKED = Path(__file__).with_name("prepared.bin")  # in the package only


class PreparedSection:
    """A section of the policy: the attributes of its model, as frozen, as equal and as hashable."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"the policy is not changed: {name}")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({fields})"

    # By the section's name: its class is made anew where it is read.
    def __reduce__(self) -> tuple[Any, ...]:
        return restore_section, (type(self).__name__, tuple(_computing(type(self))), self.__dict__)

    def model_copy(self, *, update: Mapping[str, Any]) -> PreparedSection:
        """The section with other values, as pydantic's method of that name."""
        return type(self)({**self.__dict__, **update})


def read_prepared(text: str, path: Path = PACKED) -> Policy | None:
    """The policy of exactly this text, if the package has it; None says that it has to be checked.

    A file that is absent, cut, or of another Python is no fault.
    """
    try:
        packed = path.read_bytes()
        head = _head(text)
        if not packed.startswith(head):
            return None
        # S301: a file as trusted as the bytecode beside it.
        values: object = pickle.loads(packed[len(head) :])  # noqa: S301
    except (OSError, ValueError, EOFError, TypeError, AttributeError, ImportError, pickle.UnpicklingError):
        return None
    # It has every attribute that those who use a policy ask for, which a test compares.
    return cast("Policy", values)


def write_prepared(text: str, path: Path = PACKED) -> None:
    """Check the text, and keep its values for `read_prepared`. Raises UsageError with all mistakes."""
    from shared.policy import parse_policy

    path.write_bytes(_head(text) + pickle.dumps(_prepare(parse_policy(text)), protocol=5))


def restore_section(name: str, computing: tuple[str, ...], values: Mapping[str, Any]) -> PreparedSection:
    """A section of that name with what `computed` has for it."""
    return _section_class(name, computing)(values)


def _head(text: str) -> bytes:
    # Bytecode of the same package reads it; the magic number keeps another Python's pickles out.
    return MAGIC_NUMBER + sha256(text.encode()).digest()


@cache
def _section_class(name: str, computing: tuple[str, ...]) -> type[PreparedSection]:
    bases = tuple(getattr(computed, one) for one in computing)
    return type(name, (*bases, PreparedSection), {})


def _computing(section: type) -> list[str]:
    """The names of the classes of `computed` that the section has."""
    return [one.__name__ for one in section.__mro__ if one.__module__ == computed.__name__]


def _prepare(value: Any) -> Any:
    """The value with prepared sections in place of pydantic's."""
    from shared.policy.base import Section

    if isinstance(value, Section):
        values = {name: _prepare(getattr(value, name)) for name in type(value).model_fields}
        return restore_section(type(value).__name__, tuple(_computing(type(value))), values)
    if isinstance(value, tuple):
        return tuple(_prepare(item) for item in value)
    if isinstance(value, dict):
        return {key: _prepare(item) for key, item in value.items()}
    return value


def main(argv: list[str]) -> None:
    """Prepare the policy file of that path. A mistake in it is told, and left to the functions to tell."""
    from shared.kernel.errors import UsageError

    try:
        write_prepared(Path(argv[0]).read_text(encoding="utf-8"))
    except UsageError as error:
        sys.stderr.write(f"{error}\n")


if __name__ == "__main__":
    # Under its own name, by which the sections are found when they are read.
    from shared.policy import prepared

    prepared.main(sys.argv[1:])
