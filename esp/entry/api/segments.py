"""Segments over HTTP: rules saved, counted, and the people they find."""

from typing import Annotated, Any, Final

from pydantic import Field, JsonValue

from esp.entry.api.call import Call
from esp.entry.api.contacts import ContactPage, shown
from esp.entry.api.operation import Operations
from esp.entry.api.rules import rule_in, rules_out
from esp.entry.api.shapes import Given, Moment, Page, PageQuery, Told
from esp.flows import segments
from esp.model.relay import Scope
from esp.ports.api import Named
from esp.ports.segments import Segment

operations: Final = Operations("Segments", "Saved rules about people. Whom a rule finds is looked up when it is used.")

RuleIn = Annotated[dict[str, JsonValue], Field(
    max_length=10, description="A group of conditions. Lists, segments, topics and campaigns are named by their ids, "
    "tags by their names.",
    examples=[{"match": "all", "rules": [{"field": "city", "op": "is", "value": "Bandung"}]}])]


class SegmentIn(Given):
    name: Annotated[str, Field(min_length=1, max_length=120, examples=["Bandung"])]
    description: Annotated[str, Field(max_length=2000)] = ""
    rule: RuleIn


class CountIn(Given):
    rule: RuleIn


class CountOut(Told):
    count: int


class SegmentOut(Told):
    id: str
    name: str
    description: str
    rule: dict[str, Any]
    counted: int | None = Field(description="How many it held when it was last counted.")
    counted_at: Moment | None
    created_at: Moment
    updated_at: Moment


class SegmentPage(Page[SegmentOut]):
    pass


async def _shown(call: Call, *found: Segment) -> list[SegmentOut]:
    rules = await rules_out(call, [one.rule for one in found])
    return [SegmentOut(id=one.public_id, name=one.name, description=one.description, rule=rule, counted=one.counted,
                       counted_at=one.counted_at, created_at=one.created_at, updated_at=one.updated_at)
            for one, rule in zip(found, rules, strict=True)]


async def _found(call: Call, name: str) -> Segment:
    return await call.app.store.segments.get(call.workspace_id, await call.number(Named.SEGMENT, name))


@operations.get("/segments", Scope.CONTACTS_READ)
async def list_segments(call: Call, query: PageQuery) -> SegmentPage:
    """Segments, by name."""
    after = call.place("segments", query.cursor, str) or ""
    found = await call.app.store.segments.list(call.workspace_id, after, query.limit + 1)
    page = found[:query.limit]
    return SegmentPage(data=await _shown(call, *page),
                       next=call.next("segments", page[-1].name) if len(found) > query.limit else None)


@operations.post("/segments", Scope.CONTACTS_WRITE, status=201)
async def create_segment(call: Call, body: SegmentIn) -> SegmentOut:
    """Save a segment."""
    rule = await rule_in(call, body.rule)
    made = await segments.create(call.app, call.workspace_id, body.name, body.description, rule)
    return (await _shown(call, made))[0]


@operations.post("/segments/count", Scope.CONTACTS_READ)
async def count_rule(call: Call, body: CountIn) -> CountOut:
    """Count whom a rule finds, without saving it."""
    return CountOut(count=await segments.count(call.app, call.workspace_id, await rule_in(call, body.rule)))


@operations.get("/segments/{segment}", Scope.CONTACTS_READ, tagged=True)
async def get_segment(call: Call, segment: str) -> SegmentOut:
    """One segment."""
    return (await _shown(call, await _found(call, segment)))[0]


@operations.put("/segments/{segment}", Scope.CONTACTS_WRITE)
async def edit_segment(call: Call, segment: str, body: SegmentIn) -> SegmentOut:
    """Replace a segment's name and rule."""
    it = await _found(call, segment)
    call.must_match((await _shown(call, it))[0])
    rule = await rule_in(call, body.rule)
    changed = await segments.change(call.app, call.workspace_id, it.id, body.name, body.description, rule)
    return (await _shown(call, changed))[0]


@operations.delete("/segments/{segment}", Scope.CONTACTS_WRITE)
async def delete_segment(call: Call, segment: str) -> None:
    """Delete a segment that no campaign and no other segment is made of."""
    await segments.delete(call.app, call.workspace_id, (await _found(call, segment)).id)


@operations.get("/segments/{segment}/count", Scope.CONTACTS_READ)
async def count_segment(call: Call, segment: str) -> CountOut:
    """Count who is in a segment now."""
    it = await _found(call, segment)
    return CountOut(count=await segments.count(call.app, call.workspace_id, it.rule, it.id))


@operations.get("/segments/{segment}/contacts", Scope.CONTACTS_READ)
async def list_segment_contacts(call: Call, segment: str, query: PageQuery) -> ContactPage:
    """Who is in a segment now."""
    it = await _found(call, segment)
    what = f"segment\0{it.id}"
    after = call.place(what, query.cursor, int) or 0
    people = await segments.people(call.app, call.workspace_id, it.rule, after, query.limit + 1)
    page = people[:query.limit]
    return ContactPage(data=list(map(shown, page)),
                       next=call.next(what, page[-1].id) if len(people) > query.limit else None)
