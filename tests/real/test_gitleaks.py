"""Of what is planted our finder finds all that gitleaks finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support.secret_corpus import real_secrets, service_tokens
from tests.support.secret_finders import compare, find_by_gitleaks, find_ours


@pytest.mark.parametrize("planted", [real_secrets(), service_tokens()], ids=["secrets", "tokens of services"])
def test_what_gitleaks_finds_is_found_by_us(
    program: Callable[[str], Path], planted: Mapping[str, str]
) -> None:
    gitleaks = program("gitleaks")
    theirs = compare(lambda folder: find_by_gitleaks(gitleaks, folder), planted)
    assert theirs
    assert theirs - compare(find_ours, planted) == set()
