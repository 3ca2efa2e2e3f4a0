"""What these tests need of a machine; what it lacks is told, and skips them."""

from __future__ import annotations

import pytest

from tests.infra import hcl


@pytest.fixture(autouse=True)
def hcl_can_be_read() -> None:
    """Every test here reads infra/terraform."""
    if hcl.lacking():
        pytest.skip(hcl.lacking())
