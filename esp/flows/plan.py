"""What a worker must know of a started campaign, gathered once and good for all of its messages."""

from dataclasses import dataclass, field, replace
from typing import Any, Final

from esp.app import App
from esp.errors import ConflictError
from esp.merge.frozen import Frozen
from esp.model.campaign import CampaignState
from esp.model.content import CompiledVariant, Envelope
from esp.model.quantities import Rate
from esp.ports.contacts import ContactList
from esp.ports.domains import SendingDomain

_TEST_LIST: Final = "test"


@dataclass(frozen=True, slots=True)
class Heading:
    """What a digest says of a mail: its frozen subject and facts, merged for each reader, and its list's name."""

    frozen: Frozen
    list_name: str


@dataclass(frozen=True, slots=True)
class SendingPlan:
    """What a worker needs to render and pace a campaign; the same for as long as the campaign exists.

    ``variants`` are by variant id. ``sample`` are the merge fields of a recipient who is no contact (a test send).
    """

    envelope: Envelope
    variants: dict[int, CompiledVariant]
    throttle: Rate | None
    sample: dict[str, Any] = field(default_factory=dict)
    headings: dict[int, Heading] = field(default_factory=dict)  # of what a digest gathers, by variant id
    language: str = "en"  # the workspace's, for readers of a digest whose own is not known


async def sending_plan(app: App, workspace_id: int, campaign_id: int) -> SendingPlan:
    """Everything about a started campaign that is the same for all its messages.

    Raises ConflictError for one that never started, and NotFoundError for another workspace's.
    """
    frozen = await app.store.campaigns.frozen(workspace_id, campaign_id)
    campaign = frozen.campaign
    if campaign.state in (CampaignState.DRAFT, CampaignState.SCHEDULED) or campaign.domain_id is None:
        raise ConflictError("The campaign has not started, so there is nothing to send yet.")
    domain = await app.store.domains.by_id(workspace_id, campaign.domain_id)
    first = None
    if campaign.include_lists:
        first = await app.store.contacts.get_list(workspace_id, campaign.include_lists[0])
    tracked = app.settings.tracking.enabled and await app.store.preferences.lists_tracked(
        workspace_id, campaign.include_lists)
    envelope = Envelope(
        workspace_id=workspace_id, campaign_id=campaign.id,
        from_name=campaign.from_name, from_address=campaign.from_address, reply_to=campaign.reply_to,
        bounce_domain=domain.bounce_domain, message_id_domain=domain.name, tracking_url=app.settings.public_url,
        list_id=list_id_of(first, domain), list_name=first.name if first else campaign.name,
        # Four fields as Google's feedback loop reads them; short, for they are reported as counters.
        feedback_id=f"{campaign.id}:{workspace_id}:broadcast:merpati",
        track_opens=campaign.track_opens and tracked, track_clicks=campaign.track_clicks and tracked,
        keys=await app.store.domains.signing_keys(workspace_id, domain.id),
    )
    throttle = Rate.parse(campaign.throttle) if campaign.throttle else None
    plan = SendingPlan(envelope, dict(frozen.variants), throttle, dict(campaign.sample))
    if campaign.digest:
        editions = await app.store.digests.editions(workspace_id, campaign_id)
        headings = {key: Heading(Frozen.load(it.payload), it.list_name) for key, it in editions.items()}
        workspace = await app.store.accounts.workspace(workspace_id)
        return replace(plan, headings=headings, language=workspace.language)
    return plan


def list_id_of(first: ContactList | None, domain: SendingDomain) -> str:
    """The List-Id of a campaign (RFC 2919 section 2): its first list's handle under the sending domain."""
    return f"{first.handle if first else _TEST_LIST}.{domain.name}"
