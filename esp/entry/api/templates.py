"""Templates over HTTP: texts with merge fields, filled in by the data that comes with a message."""

from typing import Annotated, Any, Final

from pydantic import Field, JsonValue

from esp.entry.api.call import Call
from esp.entry.api.operation import LARGE, Operations
from esp.entry.api.problems import Problem
from esp.entry.api.shapes import Given, Line, Moment, Page, PageQuery, Told
from esp.errors import InputError
from esp.flows.app_mail import Template, filled, template_problems
from esp.model.relay import Scope
from esp.ports.api import StoredTemplate

operations: Final = Operations("Templates", "Texts with merge fields, for messages. A path takes a template's id or "
                               "name.")

Name = Annotated[Line, Field(min_length=1, max_length=120, pattern=r"^[^/]+$", examples=["order-sent"])]


class TemplateIn(Given):
    name: Name
    subject: Annotated[Line, Field(max_length=900, examples=["Order {{ order.number }} is on its way"])] = ""
    text: Annotated[str, Field(max_length=200_000)] = ""
    html: Annotated[str, Field(max_length=200_000, examples=["<p>Hello {{ name }}</p>"])] = ""


class TemplateOut(Told):
    id: str
    name: str
    subject: str
    text: str
    html: str
    created_at: Moment
    updated_at: Moment


class TemplatePage(Page[TemplateOut]):
    pass


class RenderIn(Given):
    data: Annotated[dict[str, JsonValue], Field(max_length=1000)]


class RenderedOut(Told):
    subject: str
    text: str
    html: str


def _shown(it: StoredTemplate) -> TemplateOut:
    values: dict[str, Any] = {name: getattr(it, name) for name in TemplateOut.model_fields if name != "id"}
    return TemplateOut(id=it.public_id, **values)


def _check(body: TemplateIn) -> None:
    problems = tuple(template_problems(Template(body.subject, body.text, body.html)).items())
    if not (body.text.strip() or body.html.strip()):
        problems += (("text", "Give text, html or both."),)
    if problems:
        raise Problem("invalid", f"{problems[0][0]}: {problems[0][1]}", problems)


async def _found(call: Call, name: str) -> StoredTemplate:
    return await call.app.store.api.template(call.workspace_id, name.replace("\0", ""))


@operations.get("/templates", Scope.SEND)
async def list_templates(call: Call, query: PageQuery) -> TemplatePage:
    """Templates, oldest first."""
    found = await call.app.store.api.templates(
        call.workspace_id, call.place("templates", query.cursor, int) or 0, query.limit + 1)
    page = found[:query.limit]
    return TemplatePage(data=list(map(_shown, page)),
                        next=call.next("templates", page[-1].id) if len(found) > query.limit else None)


@operations.post("/templates", Scope.SEND, status=201, largest=LARGE)
async def create_template(call: Call, body: TemplateIn) -> TemplateOut:
    """Save a template."""
    _check(body)
    return _shown(await call.app.store.api.add_template(
        call.workspace_id, body.name, body.subject, body.text, body.html, call.app.clock.now()))


@operations.get("/templates/{template}", Scope.SEND, tagged=True)
async def get_template(call: Call, template: str) -> TemplateOut:
    """One template."""
    return _shown(await _found(call, template))


@operations.put("/templates/{template}", Scope.SEND, largest=LARGE)
async def edit_template(call: Call, template: str, body: TemplateIn) -> TemplateOut:
    """Replace a template."""
    it = await _found(call, template)
    call.must_match(_shown(it))
    _check(body)
    return _shown(await call.app.store.api.edit_template(
        call.workspace_id, it.id, body.name, body.subject, body.text, body.html, call.app.clock.now()))


@operations.delete("/templates/{template}", Scope.SEND)
async def delete_template(call: Call, template: str) -> None:
    """Delete a template."""
    await call.app.store.api.delete_template(call.workspace_id, (await _found(call, template)).id)


@operations.post("/templates/{template}/render", Scope.SEND, largest=LARGE)
async def render_template(call: Call, template: str, body: RenderIn) -> RenderedOut:
    """Fill a template in, and send nothing."""
    it = await _found(call, template)
    problems: dict[str, str] = {}
    subject, text, html = filled(Template(it.subject, it.text, it.html), body.data, problems)
    if problems:
        raise InputError(next(iter(problems.values())), problems)
    return RenderedOut(subject=subject, text=text, html=html)
