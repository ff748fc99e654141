"""A campaign's life as its author sees it: written, checked, tested, scheduled, started, paused, resumed, cancelled."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from esp.app import App
from esp.audience.draft import belongs_to, draft_problems, missing_to_send
from esp.compose.freeze import Facts
from esp.errors import ConflictError, InputError
from esp.flows import segments
from esp.flows.providers import providers_of
from esp.model.campaign import CampaignAction, next_state
from esp.model.contact import ExclusionReason
from esp.model.content import CompiledVariant, Problem
from esp.ports.campaigns import (
    AudienceMember,
    Campaign,
    CampaignDetail,
    CampaignEdit,
    Forecast,
    FrozenVariant,
    VariantEdit,
)
from esp.ports.contacts import Contact
from esp.wire.addresses import AddressError, parse_address


@dataclass(frozen=True, slots=True)
class Preflight:
    """Everything known before a send. It can be sent where ``missing`` is empty and no problem is an error."""

    forecast: Forecast
    missing: dict[str, str]
    problems: tuple[Problem, ...]

    @property
    def ready(self) -> bool:
        return not self.missing and not any(problem.level == "error" for problem in self.problems)


# ---- written ---------------------------------------------------------------------------------------------------------


async def create(app: App, workspace_id: int, edit: CampaignEdit) -> Campaign:
    """A new draft. Raises InputError by field where something in it is broken (not where it is only incomplete)."""
    await _check_edit(app, workspace_id, edit)
    return await app.store.campaigns.create(workspace_id, edit, app.clock.now())


async def change(app: App, workspace_id: int, campaign_id: int, edit: CampaignEdit, version: int) -> Campaign:
    """Replace a draft's content; ConflictError where it is no draft, or ``version`` is not the newest any more."""
    await _check_edit(app, workspace_id, edit)
    return await app.store.campaigns.edit(workspace_id, campaign_id, edit, version, app.clock.now())


async def clone(app: App, workspace_id: int, campaign_id: int, name: str = "") -> Campaign:
    """A new draft with everything of another campaign but its life."""
    detail = await app.store.campaigns.get(workspace_id, campaign_id)
    edit = replace(detail.edit(), name=name or f"{detail.campaign.name} (copy)")
    return await app.store.campaigns.create(workspace_id, edit, app.clock.now())


async def _check_edit(app: App, workspace_id: int, edit: CampaignEdit) -> None:
    if problems := draft_problems(edit):
        raise InputError("The campaign was not saved.", problems)
    for list_id in (*edit.include_lists, *edit.exclude_lists):
        await app.store.contacts.get_list(workspace_id, list_id)  # NotFoundError for another workspace's
    for segment_id in (*edit.include_segments, *edit.exclude_segments):
        await app.store.segments.get(workspace_id, segment_id)
    if edit.domain_id is not None:
        domain = await app.store.domains.by_id(workspace_id, edit.domain_id)
        if edit.from_address and not belongs_to(edit.from_address, domain.name):
            raise InputError("The campaign was not saved.", {
                "from_address": f"The address must end in @{domain.name}, or the mail would not be signed as its own."})


# ---- checked ---------------------------------------------------------------------------------------------------------


async def precheck(app: App, workspace_id: int, campaign_id: int) -> Forecast:
    """Who is targeted, who will get it, and how many will not for which reason (requirement B1)."""
    detail = await app.store.campaigns.get(workspace_id, campaign_id)
    return await app.store.campaigns.forecast(detail.campaign, app.clock.now())


async def people_excluded(
    app: App, workspace_id: int, campaign_id: int, reason: ExclusionReason | None, after_id: int = 0, limit: int = 50,
) -> tuple[AudienceMember, ...]:
    """The people behind one figure of ``precheck``, by key; None means those who will get it."""
    detail = await app.store.campaigns.get(workspace_id, campaign_id)
    return await app.store.campaigns.people_excluded(detail.campaign, reason, app.clock.now(), after_id, limit)


async def preflight(app: App, workspace_id: int, campaign_id: int) -> Preflight:
    """The forecast, what is missing, and every problem of the content, errors first."""
    detail = await app.store.campaigns.get(workspace_id, campaign_id)
    forecast = await app.store.campaigns.forecast(detail.campaign, app.clock.now())
    problems = [*await _domain_problems(app, detail.campaign), *await _segment_problems(app, detail.campaign)]
    facts, known = await _facts(app, detail.campaign)
    for variant in detail.variants:
        if variant.edit.source.strip():
            problems += (await app.content.check(variant.edit.draft(), known_fields=known, facts=facts))[1]
    if forecast.will_get == 0 and detail.campaign.include_lists:
        problems.append(Problem("error", "audience", "Nobody would get this mail."))
    problems.sort(key=lambda problem: problem.level != "error")
    return Preflight(forecast, missing_to_send(detail.edit()), tuple(dict.fromkeys(problems)))


async def _segment_problems(app: App, campaign: Campaign) -> Sequence[Problem]:
    found = await segments.audience_problems(
        app, campaign.workspace_id, campaign.include_segments, campaign.exclude_segments)
    return tuple(Problem("error", "audience", words) for words in found.values())


async def _domain_problems(app: App, campaign: Campaign) -> Sequence[Problem]:
    if campaign.domain_id is None:
        return ()
    domain = await app.store.domains.by_id(campaign.workspace_id, campaign.domain_id)
    if domain.verified_at is not None:
        return ()
    if words := await _somebody_elses(app, campaign):
        return (Problem("error", "sender", words),)
    return (Problem("warning", "sender", f"The DNS records of {domain.name} have not been found yet, so that "
                    "many providers will refuse this mail or put it into spam."),)


async def _somebody_elses(app: App, campaign: Campaign) -> str:
    """Why this sender is not this workspace's to use; empty where it is.

    Anybody may type a domain in; who publishes its records shows that it is theirs. As long as nobody has, a warning
    will do. Where another workspace has and this one has not, it would be mail in another's name.
    """
    if campaign.domain_id is None:
        return ""
    domain = await app.store.domains.by_id(campaign.workspace_id, campaign.domain_id)
    if domain.verified_at is not None:
        return ""
    labels = (campaign.from_address.rpartition("@")[2].lower() or domain.name).split(".")
    names = [".".join(labels[at:]) for at in range(len(labels))]
    if not await app.store.domains.verified_elsewhere(campaign.workspace_id, names):
        return ""
    return (f"Another workspace of this server has shown that {domain.name} is its own. Publish this workspace's DNS "
            "records too, or send from another domain.")


async def _facts(app: App, campaign: Campaign) -> tuple[Facts, frozenset[str]]:
    known = await app.store.contacts.field_names(campaign.workspace_id)
    return await facts_of(app, campaign.workspace_id, campaign.name, campaign.include_lists), known


async def facts_of(app: App, workspace_id: int, name: str, lists: Sequence[int]) -> Facts:
    """What the mail says of its sender; its language is that of its lists where they have one, else the workspace's."""
    workspace = await app.store.accounts.workspace(workspace_id)
    spoken = {(await app.store.signups.list_signup(workspace_id, one)).signup.language for one in lists}
    language = spoken.pop() if len(spoken) == 1 else ""
    return Facts(workspace.name, workspace.postal_address, name, language or workspace.language)


# ---- started ---------------------------------------------------------------------------------------------------------


async def act(
    app: App, workspace_id: int, campaign_id: int, action: CampaignAction, *, version: int | None = None,
    at: datetime | None = None, reason: str = "",
) -> Campaign:
    """Schedule (``at`` in the future), unschedule, start, pause, resume or cancel; returns the campaign as it is then.

    ``version`` is the one the person looked at, None for whatever is the newest. Raises ConflictError where the state
    does not allow the action or somebody else was first, and InputError where it cannot be sent as it stands.
    """
    detail = await app.store.campaigns.get(workspace_id, campaign_id)
    campaign = detail.campaign
    if version is not None and version != campaign.version:
        raise ConflictError("The campaign has been changed since you looked at it. Nothing was done; look at it again.")
    next_state(campaign.state, action)
    match action:
        case CampaignAction.START:
            started = await start(app, detail)
            await app.coordination.wake("walk")
            return started
        case CampaignAction.SCHEDULE:
            if at is None or at <= app.clock.now():
                raise InputError("The campaign was not scheduled.", {"scheduled_at": "Choose a time in the future."})
            await _freeze_variants(app, detail)  # what cannot be sent should be known today and not on the day
            await segments.rules_for(app, workspace_id, campaign.include_segments, campaign.exclude_segments)
    moved = await app.store.campaigns.move(campaign, action, app.clock.now(), reason=reason, scheduled_at=at)
    await app.coordination.wake("outbox")
    return moved


async def start(app: App, detail: CampaignDetail) -> Campaign:
    """Freeze and begin to send: from here on nothing that is edited anywhere changes this campaign.

    Raises InputError with the problems, and the campaign stays what it was; ConflictError where another start won.
    """
    frozen = await _freeze_variants(app, detail)
    it = detail.campaign
    rules = await segments.rules_for(app, it.workspace_id, it.include_segments, it.exclude_segments)
    return await app.store.campaigns.start(it, frozen, app.clock.now(), rules)


async def _freeze_variants(app: App, detail: CampaignDetail) -> list[FrozenVariant]:
    if missing := missing_to_send(detail.edit()):
        raise InputError("The campaign cannot be sent yet.", missing)
    if words := await _somebody_elses(app, detail.campaign):
        raise InputError("The campaign cannot be sent yet.", {"domain_id": words})
    facts, known = await _facts(app, detail.campaign)
    frozen: list[FrozenVariant] = []
    links = 0
    for number, variant in enumerate(detail.variants):
        compiled = await _compile(app, variant.edit, number, facts, known, links)
        links += len(compiled.links)
        frozen.append(FrozenVariant(variant.id, compiled))
    return frozen


async def _compile(
    app: App, variant: VariantEdit, number: int, facts: Facts, known: frozenset[str], first_link_index: int = 0,
) -> CompiledVariant:
    compiled, problems = await app.content.check(
        variant.draft(), first_link_index=first_link_index, known_fields=known, facts=facts)
    if compiled is not None:
        return compiled
    errors = [problem for problem in problems if problem.level == "error"]
    raise InputError(f"The content cannot be sent yet. {errors[0].message}", {
        f"variants.{number}.{'source' if problem.where == 'body' else problem.where}":
            problem.message + (f" (line {problem.line})" if problem.line else "")
        for problem in reversed(errors)  # the first error of each part is the one shown
    })


# ---- tested ----------------------------------------------------------------------------------------------------------


async def send_test(
    app: App, workspace_id: int, campaign_id: int, address: str, *, label: str = "A", contact_id: int | None = None,
) -> Campaign:
    """Send one variant to ``address``, filled with a contact's fields, by the ordinary road.

    It is a hidden campaign of one delivery that belongs to no contact: signed, throttled and tracked as any other,
    and never counted. Returns it. Raises InputError where the address is none, is suppressed, or the content fails.
    """
    try:
        to = parse_address(address)
    except AddressError as error:
        raise InputError("The test was not sent.", {"address": str(error)}) from None
    if await app.store.contacts.suppressions(workspace_id, limit=1, email_key=to.key):
        raise InputError("The test was not sent.", {"address": "This address is suppressed and may not be written to."})
    detail = await app.store.campaigns.get(workspace_id, campaign_id)
    missing = missing_to_send(detail.edit())
    missing.pop("include_lists", None)
    if missing:
        raise InputError("The test cannot be sent yet.", missing)
    if words := await _somebody_elses(app, detail.campaign):
        raise InputError("The test cannot be sent yet.", {"domain_id": words})
    number, chosen = _variant(detail, label)
    facts, known = await _facts(app, detail.campaign)
    compiled = await _compile(app, chosen, number, facts, known)
    contacts = app.store.contacts
    sample: Contact | None = await (contacts.sample(workspace_id, detail.campaign.include_lists) if contact_id is None
                                    else contacts.get(workspace_id, contact_id))
    providers = await providers_of(app, [to.domain])
    edit = replace(detail.edit(), variants=(replace(chosen, weight=1),))
    test = await app.store.campaigns.create_test(
        detail.campaign, edit, compiled, to.text, to.domain, providers[to.domain],
        sample.merge_fields() if sample else {}, app.clock.now())
    await app.coordination.wake("outbox")
    return test


def _variant(detail: CampaignDetail, label: str) -> tuple[int, VariantEdit]:
    for number, variant in enumerate(detail.variants):
        if variant.label == label:
            return number, variant.edit
    raise InputError("The test was not sent.", {"label": f"There is no variant {label}."})
