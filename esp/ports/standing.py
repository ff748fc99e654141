"""How mailbox providers take a workspace's mail, over the campaigns of the last weeks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from esp.ports.reports import CampaignLine, Figures, Metric, ReasonCount


@dataclass(frozen=True, slots=True)
class ProviderStanding:
    """A provider's figures, summed over campaigns; ``deferred`` and ``waiting`` are not told apart here."""

    provider: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class Standing:
    """``providers`` and ``reasons`` are largest first; ``campaigns`` is how many are summed, some hundred at most."""

    total: Figures
    providers: tuple[ProviderStanding, ...]
    reasons: tuple[ReasonCount, ...]
    campaigns: int


class Standings(Protocol):
    async def standing(self, workspace_id: int, since: datetime) -> Standing:
        """Of the campaigns that began since."""
        ...

    async def campaigns_behind(
        self, workspace_id: int, since: datetime, metric: Metric, provider: str = "", reason: str = "",
    ) -> Sequence[CampaignLine]:
        """The campaigns that a sum is made of, newest first, with their part of it in the figures' ``metric``."""
        ...
