"""The policy of cost: in which money, against which budget."""

from __future__ import annotations

from pydantic import Field

from .base import Name, Section


class CostPolicy(Section):
    """What the cost report reckons with."""

    currency: str = Field(default="EUR", pattern=r"^[A-Z]{3}$", description="ISO 4217 code of the report")
    budget: int | None = Field(
        default=None, ge=1, description="money a month, in the currency; none: no comparison"
    )
    region: str = Field(
        default="westeurope",
        pattern=r"^[a-z0-9]{3,40}$",
        description="Azure region of prices where a machine's own is not known",
    )
    # Azure tells the size of the disk, not of the increment: what is not known is left out rather than
    # guessed.
    snapshot_change_gb: int | None = Field(
        default=None,
        ge=0,
        description="GB that an incremental snapshot holds on average, from the invoice; none: not known",
    )
    skus: tuple[Name, ...] = Field(default=(), description="other VM sizes to compare with")
