"""A campaign: one broadcast, its states and the actions allowed in each."""

from enum import StrEnum
from typing import Final

from esp.errors import ConflictError


class CampaignState(StrEnum):
    DRAFT = "draft"
    SCHEDULED = "scheduled"
    SENDING = "sending"
    PAUSED = "paused"
    SENT = "sent"
    CANCELLED = "cancelled"


class CampaignAction(StrEnum):
    SCHEDULE = "schedule"
    UNSCHEDULE = "unschedule"
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    FINISH = "finish"
    CANCEL = "cancel"


_S, _A = CampaignState, CampaignAction

CAMPAIGN_TRANSITIONS: Final[dict[tuple[CampaignState, CampaignAction], CampaignState]] = {
    (_S.DRAFT, _A.SCHEDULE): _S.SCHEDULED,
    (_S.DRAFT, _A.START): _S.SENDING,
    (_S.SCHEDULED, _A.UNSCHEDULE): _S.DRAFT,
    (_S.SCHEDULED, _A.START): _S.SENDING,
    (_S.SCHEDULED, _A.CANCEL): _S.CANCELLED,
    (_S.SENDING, _A.PAUSE): _S.PAUSED,
    (_S.SENDING, _A.FINISH): _S.SENT,
    (_S.SENDING, _A.CANCEL): _S.CANCELLED,
    (_S.PAUSED, _A.RESUME): _S.SENDING,
    (_S.PAUSED, _A.CANCEL): _S.CANCELLED,
}


def next_state(state: CampaignState, action: CampaignAction) -> CampaignState:
    """The state after ``action``; raises ConflictError in words a marketer understands."""
    try:
        return CAMPAIGN_TRANSITIONS[state, action]
    except KeyError:
        raise ConflictError(f"The campaign is {state}, so it cannot {action} now. Nothing was changed.") from None


class ContentKind(StrEnum):
    MJML = "mjml"
    HTML = "html"
    MARKDOWN = "markdown"
    TEXT = "text"
