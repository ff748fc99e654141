"""Writing a campaign: who gets it, what it says, who it is from. Kept by itself while one writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from aiohttp import web
from pydantic import Field

from admin_ui.forms import FormModel
from admin_ui.page import Page, Routes
from admin_ui.pages.campaigns.form import KINDS, LABELS, ComposeForm, from_local, read_edit, variant_fields
from admin_ui.pages.campaigns.shown import FIELDS, REASONS
from admin_ui.pages.campaigns.starters import STARTERS, source_of, starter
from admin_ui.words import _, in_language
from esp.errors import ConflictError, InputError, NotFoundError
from esp.flows import campaigns as flow
from esp.model.campaign import CampaignState
from esp.ports.campaigns import Campaign, CampaignDetail, CampaignEdit, VariantEdit
from esp.ports.contacts import ContactList
from esp.ports.domains import SendingDomain

routes = Routes()

_BEGUN: Final = "merpati_begun"  # the cookie that names the draft this browser began, and its version then
_SEGMENTS: Final = 500  # to choose from
_FIELD_OF: Final = {"from_address": "from_local", "include_lists": "include", "exclude_lists": "exclude",
                    "include_segments": "only", "exclude_segments": "without",
                    "domain_id": "domain"}


class NewForm(FormModel):
    name: str = Field("", max_length=200)
    starter: str = ""


@dataclass(frozen=True, slots=True)
class Compose:
    """What the compose page shows in its fields: what is kept, or what was typed where that could not be kept."""

    values: Mapping[str, Any]
    variants: Sequence[Mapping[str, Any]]
    problems: Mapping[str, str] = field(default_factory=dict)
    conflict: str = ""

    @classmethod
    def kept(cls, detail: CampaignDetail) -> "Compose":
        it = detail.campaign
        return cls({
            "version": it.version, "name": it.name, "include": it.include_lists, "exclude": it.exclude_lists,
            "only": it.include_segments, "without": it.exclude_segments,
            "domain": str(it.domain_id or ""), "from_name": it.from_name, "from_local": from_local(it.from_address),
            "reply_to": it.reply_to, "throttle": it.throttle, "track_opens": it.track_opens,
            "track_clicks": it.track_clicks, "topic": str(it.topic_id or ""), "in_archive": it.in_archive,
        }, [{"subject": one.edit.subject, "preheader": one.edit.preheader, "kind": one.edit.kind,
             "source": one.edit.source, "weight": one.edit.weight, "shared": one.shared}
            for one in variant_fields(detail)])

    @classmethod
    def typed(cls, form: ComposeForm, problems: Mapping[str, str], conflict: str = "") -> "Compose":
        return cls(form.model_dump(), [
            {"subject": subject, "preheader": preheader, "kind": kind, "source": source, "weight": weight,
             "shared": content == LABELS[0]}
            for subject, preheader, kind, source, weight, content in zip(
                form.subject, form.preheader, form.kind, form.source, form.weight, form.content_of, strict=False)
        ], {_FIELD_OF.get(name, name): words for name, words in problems.items()}, conflict)


@routes.get("/campaigns/new")
async def new(page: Page) -> web.Response:
    return page.render("campaigns/new.html", starters=STARTERS)


@routes.post("/campaigns/new")
async def create(page: Page) -> web.Response:
    """A draft with good defaults: the chosen starter, the only list there is, the sender of the campaign before.

    Whoever goes back and tries another starter gets it in the draft of a moment ago, as long as nobody wrote in that.
    """
    form = (await page.form(NewForm)).data or NewForm()
    chosen = starter(form.starter)
    lists = await page.app.store.contacts.lists(page.workspace_id)
    language = page.session.workspace.language  # of those who read the mail, whatever its author reads the admin in
    source = source_of(chosen.file, language)
    edit = CampaignEdit(
        name=form.name or f"{_(chosen.label)}, {page.app.clock.now():%d %B %Y}",
        variants=(VariantEdit(in_language(chosen.subject, language), source, chosen.kind,
                              in_language(chosen.preheader, language)),),
        include_lists=(lists[0].id,) if len(lists) == 1 else ())
    edit = await _with_sender(page, edit)
    before = await _untouched(page)
    if before is None:
        campaign = await flow.create(page.app, page.workspace_id, edit)
    else:
        campaign = await flow.change(page.app, page.workspace_id, before.id, edit, before.version)
    response = page.redirect(f"/campaigns/{campaign.id}/edit")
    response.set_cookie(_BEGUN, f"{campaign.id}.{campaign.version}", max_age=3600, path="/campaigns/new",
                        httponly=True, samesite="Lax")
    return response


async def _untouched(page: Page) -> Campaign | None:
    """The draft that this browser began last, where it is as it was then."""
    key, _dot, version = page.request.cookies.get(_BEGUN, "").partition(".")
    if not (key.isascii() and key.isdecimal() and len(key) <= 18):
        return None
    try:
        campaign = (await page.app.store.campaigns.get(page.workspace_id, int(key))).campaign
    except NotFoundError:
        return None
    same = campaign.state is CampaignState.DRAFT and str(campaign.version) == version
    return campaign if same else None


async def _with_sender(page: Page, edit: CampaignEdit) -> CampaignEdit:
    """The sender of the newest campaign, else the first domain whose records were found, else the first one."""
    domains = await page.app.store.domains.all(page.workspace_id)
    for line in await page.app.store.campaigns.list(page.workspace_id, limit=1):
        before = line.campaign
        if before.from_address and any(one.id == before.domain_id for one in domains):
            return replace(edit, domain_id=before.domain_id, from_name=before.from_name,
                           from_address=before.from_address, reply_to=before.reply_to)
    domain = next((one for one in domains if one.verified_at), domains[0] if domains else None)
    if domain is None:
        return edit
    name = page.session.workspace.name
    return replace(edit, domain_id=domain.id, from_name=name, from_address=f"news@{domain.name}")


@routes.get(r"/campaigns/{campaign_id:\d+}/edit")
async def edit(page: Page) -> web.StreamResponse:
    detail = await page.app.store.campaigns.get(page.workspace_id, page.key("campaign_id"))
    if detail.campaign.state is not CampaignState.DRAFT:
        return page.redirect(f"/campaigns/{detail.campaign.id}")
    return await _show(page, detail.campaign, Compose.kept(detail))


async def _show(page: Page, campaign: Campaign, compose: Compose, status: int = 200) -> web.Response:
    store = page.app.store
    lists = await store.contacts.lists(page.workspace_id)
    domains = await store.domains.all(page.workspace_id)
    forecast = await store.campaigns.forecast(campaign, page.app.clock.now()) if campaign.include_lists else None
    names = await store.contacts.field_names(page.workspace_id)
    own = ((f"contact.{name}", name, "{{ contact." + name + ' | default("") }}') for name in sorted(names))
    sample = await store.contacts.sample(page.workspace_id, campaign.include_lists)
    return page.render(
        "campaigns/compose.html", status=status, campaign=campaign, compose=compose, lists=lists, domains=domains,
        forecast=forecast, reasons=REASONS, kinds=KINDS, labels=LABELS, fields=[*FIELDS, *own], sample=sample,
        segments=await store.segments.list(page.workspace_id, limit=_SEGMENTS),
        topics=[one for one in await store.preferences.topics(page.workspace_id, archived=True)
                if one.archived_at is None or one.id == campaign.topic_id])


@routes.post(r"/campaigns/{campaign_id:\d+}/edit")
async def save_and_go(page: Page) -> web.StreamResponse:
    """Keep what is written and go on to the check, or show the page again with what is in the way."""
    campaign_id = page.key("campaign_id")
    detail = await page.app.store.campaigns.get(page.workspace_id, campaign_id)
    form = await _whole_form(page)
    then = str((await page.request.post()).get("then", ""))
    try:
        edit = _with_variants(await _edit_of(page, form), then)
        await flow.change(page.app, page.workspace_id, campaign_id, edit, form.version)
    except InputError as error:
        return await _show(page, detail.campaign, Compose.typed(form, error.problems or {"": str(error)}), 422)
    except ConflictError as error:
        return await _show(page, detail.campaign, Compose.typed(form, {}, str(error)), 409)
    if not then:
        return page.redirect(f"/campaigns/{campaign_id}/check")
    here = f"/campaigns/{campaign_id}/edit"
    if then == "add":
        return page.redirect(f"{here}#variant-{edit.variants[-1].label}")
    return page.redirect(here, _("Saved.") if then == "stay" else "")


def _with_variants(edit: CampaignEdit, then: str) -> CampaignEdit:
    """One variant more, which begins as the first one; or one less; or all as they are."""
    variants = list(edit.variants)
    what, _sign, at = then.partition(":")
    if what == "add" and len(variants) < len(LABELS):
        variants.append(replace(variants[0], subject=""))
    elif what == "remove" and at.isdecimal() and int(at) < len(variants) > 1:
        del variants[int(at)]
    lettered = (replace(one, label=label) for one, label in zip(variants, LABELS, strict=False))
    return replace(edit, variants=tuple(lettered))


@routes.post(r"/campaigns/{campaign_id:\d+}/save")
async def save(page: Page) -> web.Response:
    """Keep what is written, as the page asks every few seconds. 409: somebody else was faster, nothing was changed."""
    campaign_id = page.key("campaign_id")
    await page.app.store.campaigns.get(page.workspace_id, campaign_id)
    form = await _whole_form(page)
    try:
        campaign = await _keep(page, campaign_id, form)
    except InputError as error:
        problems = {_FIELD_OF.get(name, name): words for name, words in error.problems.items()}
        return web.json_response({"message": str(error), "problems": problems}, status=422)
    except ConflictError as error:
        return web.json_response({"message": str(error)}, status=409)
    return web.json_response({"version": campaign.version, "name": campaign.name, "who": await _who(page, campaign)})


@routes.post(r"/campaigns/{campaign_id:\d+}/keep-as-copy")
async def keep_as_copy(page: Page) -> web.StreamResponse:
    """The way out of a conflict that loses nothing: what is written here becomes a draft of its own."""
    await page.app.store.campaigns.get(page.workspace_id, page.key("campaign_id"))
    form = await _whole_form(page)
    edit = await _edit_of(page, form)
    copy = await flow.create(page.app, page.workspace_id, replace(edit, name=f"{edit.name} ({_('copy')})"[:200]))
    return page.redirect(f"/campaigns/{copy.id}/edit", _("Your text was kept as a draft of its own."))


async def _whole_form(page: Page) -> ComposeForm:
    form = await page.form(ComposeForm)
    if form.data is None:
        raise InputError(_("Nothing was changed, because some fields cannot be used as they are."), form.problems)
    return form.data


async def _edit_of(page: Page, form: ComposeForm) -> CampaignEdit:
    domains: tuple[SendingDomain, ...] = await page.app.store.domains.all(page.workspace_id)
    lists: tuple[ContactList, ...] = await page.app.store.contacts.lists(page.workspace_id)
    topics = await page.app.store.preferences.topics(page.workspace_id, archived=True)
    segments = await page.app.store.segments.list(page.workspace_id, limit=_SEGMENTS)
    return read_edit(form, domains, frozenset(one.id for one in lists), frozenset(one.id for one in topics),
                     frozenset(one.id for one in segments))


async def _keep(page: Page, campaign_id: int, form: ComposeForm) -> Campaign:
    return await flow.change(page.app, page.workspace_id, campaign_id, await _edit_of(page, form), form.version)


async def _who(page: Page, campaign: Campaign) -> str:
    """The count of who will get it, as a fragment, counted anew for the lists chosen now."""
    forecast = None
    if campaign.include_lists:
        forecast = await page.app.store.campaigns.forecast(campaign, page.app.clock.now())
    return page.html("campaigns/who.html", campaign=campaign, forecast=forecast, reasons=REASONS)
