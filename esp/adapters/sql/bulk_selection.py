"""A selection as a condition over ``contacts``: by id, by search, by list and tag, by rule, by what hygiene found."""

from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, select

from esp.adapters.sql.schema import contacts, hygiene_findings
from esp.adapters.sql.search import begins_with, narrowed
from esp.adapters.sql.segment_sql import matching
from esp.model.segment_json import parse_rule
from esp.ports.people_bulk import Selection


def selected(
    selection: Selection, workspace_id: int, now: datetime, each: bool = False,
) -> list[ColumnElement[bool]]:
    """What a row of ``contacts`` must fulfil; the workspace always. ``each`` is for looking at a chunk of them."""
    demands: list[ColumnElement[bool]] = [contacts.c.workspace_id == workspace_id]
    if selection.ids:
        demands.append(contacts.c.id.in_(selection.ids))
        return demands
    key = selection.query.replace("\0", "").strip().casefold()
    if key:
        demands.append(begins_with(key))
    demands += narrowed(selection.list_id, selection.tag_id, selection.state)
    if selection.rule is not None:
        local = now.astimezone(ZoneInfo(selection.zone or "UTC"))
        demands.append(matching(parse_rule(selection.rule), workspace_id, local, each=each))
    if selection.report_id is not None:
        of = hygiene_findings.c
        demands.append(select(of.id).where(of.contact_id == contacts.c.id, of.report_id == selection.report_id,
                                           of.kind == selection.finding, of.workspace_id == workspace_id).exists())
    return demands
