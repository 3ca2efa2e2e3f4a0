"""A secret that was made elsewhere is read from a file or standard input, and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.secrets import _read_given
from shared.kernel.errors import UsageError


def test_it_is_read_from_a_file_without_the_line_break_at_its_end(tmp_path: Path) -> None:
    (tmp_path / "new").write_text("p4ssw0rd\n")
    given = _read_given(tmp_path / "new")
    assert given.reveal() == "p4ssw0rd"
    assert "p4ssw0rd" not in repr(given)


@pytest.mark.parametrize("data", [b"", b" \n", b"\xff\xfe\x00"], ids=["empty", "white space", "no text"])
def test_a_file_that_holds_none_is_a_mistake(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "new").write_bytes(data)
    with pytest.raises(UsageError):
        _read_given(tmp_path / "new")
    with pytest.raises(UsageError, match="cannot read"):
        _read_given(tmp_path / "absent")
