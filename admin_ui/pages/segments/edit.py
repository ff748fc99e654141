"""Building a segment: conditions added and taken away, by buttons that work without script, and counted meanwhile."""

import json
from typing import Any, Final

from aiohttp import web

from admin_ui.page import Page, Routes
from admin_ui.pages.segments import builder
from admin_ui.pages.segments.builder import Node
from admin_ui.pages.segments.words import Shown
from admin_ui.words import _
from esp.audience.segment_check import rule_problems
from esp.errors import ConflictError, InputError, TookTooLongError
from esp.flows import segments as flow
from esp.model.contact import SubscriptionState
from esp.model.segment import (
    CUSTOM,
    ENGAGEMENT_TYPES,
    STANDARD_TYPES,
    FieldOp,
    FieldRule,
    Group,
    ListRule,
    Match,
    Rule,
    TagRule,
)
from esp.model.segment_json import parse_rule
from esp.ports.segments import Segment, Vocabulary

routes: Final = Routes()
_SAMPLE: Final = 5


@routes.get("/segments/new")
async def new(page: Page) -> web.Response:
    """An empty builder; or one with the rule of the address, as the report and the contacts' search link here."""
    return await _show(page, None, page.query("name")[:flow.MAX_NAME], "", _asked_for(page))


def _asked_for(page: Page) -> Node:
    filters: list[Rule] = []
    if text := page.query("q").strip()[:100]:
        names = ("email", "first_name", "last_name")
        filters.append(Group(Match.ANY, tuple(
            FieldRule(name, STANDARD_TYPES[name], FieldOp.STARTS_WITH, (text,)) for name in names)))
    if number := _number(page.query("list")):
        state = next((one for one in SubscriptionState if one.value == page.query("state")), None)
        filters.append(ListRule(number, state or SubscriptionState.SUBSCRIBED))
    if number := _number(page.query("tag")):
        filters.append(TagRule(number))
    if filters:
        return builder.nodes_of(Group(Match.ALL, tuple(filters)))
    try:
        return builder.nodes_of(parse_rule(json.loads(page.query("rule"))))
    except (InputError, ValueError, RecursionError):
        return builder.started()


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 16 else 0


@routes.get(r"/segments/{segment_id:\d+}/edit")
async def edit(page: Page) -> web.Response:
    checked = await flow.read(page.app, page.workspace_id, page.key("segment_id"))
    root = builder.nodes_of(checked.segment.rule)
    builder.blame(root, {one.path: _(str(one)) for one in checked.problems})
    return await _show(page, checked.segment, checked.segment.name, checked.segment.description, root)


@routes.post("/segments/new")
async def create(page: Page) -> web.Response:
    return await _save(page, None)


@routes.post(r"/segments/{segment_id:\d+}/edit")
async def save(page: Page) -> web.Response:
    return await _save(page, await page.app.store.segments.get(page.workspace_id, page.key("segment_id")))


async def _save(page: Page, segment: Segment | None) -> web.Response:
    posted = await page.request.post()
    name, description = _text(posted.get("name")), _text(posted.get("description"))
    root = builder.read_nodes(posted)
    try:
        rule = parse_rule(builder.to_json(root, await flow.vocabulary(page.app, page.workspace_id)))
        if segment is None:
            kept = await flow.create(page.app, page.workspace_id, name, description, rule)
        else:
            kept = await flow.change(page.app, page.workspace_id, segment.id, name, description, rule)
    except InputError as error:
        return await _show(page, segment, name, description, root, error.problems, 422)
    except ConflictError as error:
        return await _show(page, segment, name, description, root, {"name": str(error)}, 409)
    return page.redirect(f"/segments/{kept.id}", _("The segment was saved."))


def _text(value: object) -> str:
    return value.replace("\0", "").strip()[:500] if isinstance(value, str) else ""


@routes.post("/segments/build")
async def build(page: Page) -> web.Response:
    """The form again after a button or another choice: nothing is saved."""
    posted = await page.request.post()
    root = builder.changed(builder.read_nodes(posted), _text(posted.get("do")))
    number = _number(_text(posted.get("segment")))
    segment = await page.app.store.segments.get(page.workspace_id, number) if number else None
    counted = await _count(page, root, number) if posted.get("do") == "count" else None
    return await _show(page, segment, _text(posted.get("name")), _text(posted.get("description")), root,
                       counted=counted)


@routes.post("/segments/count")
async def count(page: Page) -> web.Response:
    """How many it finds as it stands, and some of them; what is missing in words."""
    posted = await page.request.post()
    return page.render(
        "segments/count.html", **await _count(page, builder.read_nodes(posted), _number(_text(posted.get("segment")))))


async def _count(page: Page, root: Node, segment_id: int) -> dict[str, Any]:
    known = await flow.vocabulary(page.app, page.workspace_id)
    found: dict[str, Any] = {"count": None, "sample": (), "trouble": "", "lines": ()}
    try:
        rule = parse_rule(builder.to_json(root, known))
    except InputError:
        return found | {"trouble": _("Fill in every condition, and here stands how many people it finds.")}
    known = await flow.vocabulary(page.app, page.workspace_id, rule)
    found["lines"] = Shown(known).lines(rule)
    if problems := rule_problems(rule, known, segment_id or None):
        one = problems[0]
        return found | {"trouble": _(str(one))}
    try:
        found["count"] = await flow.count(page.app, page.workspace_id, rule)
        found["sample"] = await flow.people(page.app, page.workspace_id, rule, limit=_SAMPLE)
    except TookTooLongError as error:
        found["trouble"] = _(str(error))
    return found


async def _show(
    page: Page, segment: Segment | None, name: str, description: str, root: Node,
    problems: dict[str, str] | None = None, status: int = 200, counted: dict[str, Any] | None = None,
) -> web.Response:
    mentioned = [int(text) for node in root.walk() for text in node.values.get("campaigns", [])
                 if text.isdecimal() and len(text) < 16]
    known = await page.app.store.segments.vocabulary(page.workspace_id, mentioned)
    problems = dict(problems or {})
    wrong_name = problems.pop("name", "")
    rest = builder.blame(root, problems)
    return page.render(
        "segments/form.html", status=status, segment=segment, name=name, description=description, root=root,
        wrong_name=wrong_name, rest=rest, failed=bool(problems or wrong_name), shown=Shown(known),
        suggestions=await _suggestions(page, root, known), counted=counted)


async def _suggestions(page: Page, root: Node, known: Vocabulary) -> dict[str, tuple[str, ...]]:
    """Values in use for each text field that is asked about, and links for clicks."""
    found: dict[str, tuple[str, ...]] = {}
    for node in root.walk():
        kind, _sign, about = node.what.partition(":")
        if kind == "field" and about not in (*found, *ENGAGEMENT_TYPES) and len(found) < 10:
            declared = known.fields.get(about[len(CUSTOM):]) if about.startswith(CUSTOM) else None
            found[about] = (declared.choices if declared and declared.choices
                            else await page.app.store.segments.values(page.workspace_id, about))
        elif node.what == "did:clicked" and "link" not in found:
            found["link"] = await page.app.store.segments.links(page.workspace_id, ())
    return found
