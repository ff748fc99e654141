"""The people behind a number: a page by key, and the same as a file."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from admin_ui.page import Page, Routes
from admin_ui.pages.campaigns.shown import DELIVERY_STATES, reason_words
from admin_ui.pages.reports.definitions import DEFINITIONS
from admin_ui.words import _
from esp.errors import NotFoundError
from esp.model.segment import MAX_TEXT, Doing, Group, MailRule, Match
from esp.model.segment_json import rule_json
from esp.ports.campaigns import CampaignDetail
from esp.ports.reports import Metric, PeopleFilter, Person

routes = Routes()
_PAGE: Final = 50
_CHUNK: Final = 1000
_DID: Final = {
    Metric.DELIVERED: Doing.DELIVERED, Metric.OPENED: Doing.OPENED, Metric.CLICKED: Doing.CLICKED,
    Metric.BOUNCED: Doing.BOUNCED, Metric.UNSUBSCRIBED: Doing.UNSUBSCRIBED, Metric.COMPLAINED: Doing.COMPLAINED,
}
_HEADS: Final = ("address", "name", "provider", "state", "reason", "reply", "at")

# What a spreadsheet would run instead of show (OWASP, "CSV injection").
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


@routes.get(r"/campaigns/{campaign_id:\d+}/people")
async def people(page: Page) -> web.StreamResponse:
    detail, metric, part = await _asked(page)
    after = page.query("after")
    found = await page.app.store.reports.people(
        page.workspace_id, detail.campaign.id, metric, part, int(after) if after.isdecimal() else 0, _PAGE + 1)
    here = f"/campaigns/{detail.campaign.id}/people"
    query = {name: value for name, value in page.request.query.items() if name != "after"}
    definition = DEFINITIONS[metric]
    return page.render(
        "reports/people.html", segment=await _segment(page, detail, metric, part), campaign=detail.campaign,
        people=found[:_PAGE], metric=metric, definition=definition,
        parts=_parts(detail, part), states=DELIVERY_STATES, reason_words=reason_words,
        csv=f"/campaigns/{detail.campaign.id}/people.csv?{urlencode(query)}",
        first=f"{here}?{urlencode(query)}" if after else "",
        next=f"{here}?{urlencode({**query, 'after': found[_PAGE - 1].key})}" if len(found) > _PAGE else "")


async def _segment(page: Page, detail: CampaignDetail, metric: Metric, part: PeopleFilter) -> str:
    """Where these people become a segment; empty where no rule says who they are."""
    did = _DID.get(metric)
    if did is None or part.provider or part.variant_id is not None or part.reason:
        return ""
    rule = MailRule(did, campaigns=(detail.campaign.id,))
    if part.link_index is not None:
        urls = await page.app.store.engagement.link_urls(page.workspace_id, detail.campaign.id)
        if part.link_index not in urls or did is not Doing.CLICKED:
            return ""
        rule = replace(rule, link=urls[part.link_index][:MAX_TEXT])
    text = json.dumps(rule_json(Group(Match.ALL, (rule,))), separators=(",", ":"))
    name = f"{_(DEFINITIONS[metric].people)}: {detail.campaign.name}"
    return f"/segments/new?{urlencode({'name': name[:120], 'rule': text})}"


async def _asked(page: Page) -> tuple[CampaignDetail, Metric, PeopleFilter]:
    """The campaign, the metric and the part of it that the address names; NotFoundError for a metric there is not."""
    detail = await page.app.store.campaigns.get(page.workspace_id, page.key("campaign_id"))
    try:
        metric = Metric(page.query("metric", "targeted"))
    except ValueError:
        raise NotFoundError(_("There is no such figure.")) from None
    variant, link = page.query("variant"), page.query("link")
    return detail, metric, PeopleFilter(
        provider=page.query("provider")[:200], variant_id=int(variant) if variant.isdecimal() else None,
        link_index=int(link) if link.isdecimal() else None, reason=page.query("reason")[:100])


def _parts(detail: CampaignDetail, part: PeopleFilter) -> list[str]:
    """What narrows the number, in words."""
    words = []
    if part.provider:
        words.append(_("at {provider}").format(provider=part.provider))
    if part.variant_id is not None:
        label = next((one.label for one in detail.variants if one.id == part.variant_id), "?")
        words.append(_("variant {label}").format(label=label))
    if part.link_index is not None:
        words.append(_("link {number}").format(number=part.link_index + 1))
    if part.reason:
        words.append(_(reason_words(part.reason)))
    return words


@routes.get(r"/campaigns/{campaign_id:\d+}/people.csv")
async def people_csv(page: Page) -> web.StreamResponse:
    """Everybody behind the number, streamed by key so that a million people need no memory."""
    detail, metric, part = await _asked(page)
    response = web.StreamResponse(headers={
        "Content-Type": "text/csv; charset=utf-8",
        "Content-Disposition": f'attachment; filename="campaign-{detail.campaign.id}-{metric.value}.csv"'})
    await response.prepare(page.request)
    # The byte order mark tells spreadsheets that this is UTF-8.
    await response.write(b"\xef\xbb\xbf" + csv_lines([_HEADS]))
    after = 0
    while True:
        found = await page.app.store.reports.people(
            page.workspace_id, detail.campaign.id, metric, part, after, _CHUNK)
        if found:
            await response.write(csv_lines([_row(one) for one in found]))
            after = found[-1].key
        if len(found) < _CHUNK:
            break
    await response.write_eof()
    return response


def _row(one: Person) -> tuple[str, ...]:
    return (one.address, one.name, one.provider, one.state, one.reason, one.reply,
            one.at.isoformat(timespec="seconds") if one.at else "")


def csv_lines(rows: Sequence[Sequence[str]]) -> bytes:
    """Rows as RFC 4180 lines; a cell that a spreadsheet would run begins with an apostrophe, which makes it text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    for row in rows:
        writer.writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in row])
    return text.getvalue().encode()
