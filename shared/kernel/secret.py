"""A text that never shows itself: not in logs, tracebacks, reprs or f-strings."""

from __future__ import annotations


class Secret:
    """Holds a secret; only `reveal` gives it out, so that every use can be found."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself, for the call that needs it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "**redacted**"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a secret is not to be pickled")
