"""Whom a page of contacts is about: filters of the address bar and a selection carried from page to page."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from admin_ui.page import Page
from admin_ui.words import _
from esp.errors import InputError
from esp.flows.bulk import MOST_IDS
from esp.model.contact import SubscriptionState
from esp.model.segment_json import parse_rule, rule_json
from esp.ports.contacts import STANDARD_FIELDS, ContactList
from esp.ports.people import Tag
from esp.ports.people_bulk import Selection
from esp.ports.people_hygiene import Finding

_LONGEST_QUERY: Final = 100
_SHOWN_TAGS: Final = 200


def is_key(text: str) -> bool:
    """Whether ``text`` can be an id of ours."""
    return text.isascii() and text.isdigit() and len(text) <= 18


@dataclass(frozen=True, slots=True)
class Filters:
    """What the address says: a query, a list, a tag, a state; only what exists counts."""

    query: str
    lists: tuple[ContactList, ...]
    tags: tuple[Tag, ...]
    list_id: int | None
    tag_id: int | None
    state: SubscriptionState | None

    @property
    def any(self) -> bool:
        return bool(self.query or self.list_id or self.tag_id or self.state)

    def address(self, path: str, **more: str) -> str:
        """``path`` with these filters."""
        wanted = {"q": self.query, "list": self.list_id, "tag": self.tag_id, "state": self.state, **more}
        query = urlencode({name: str(value) for name, value in wanted.items() if value})
        return f"{path}?{query}" if query else path

    def selection(self) -> Selection:
        return Selection((), self.query, self.list_id, self.tag_id, self.state)


async def read_filters(page: Page) -> Filters:
    """The filters of the page's own address."""
    store = page.app.store
    lists = await store.contacts.lists(page.workspace_id)
    tags = await store.people.tags(page.workspace_id, limit=_SHOWN_TAGS)
    list_id = next((one.id for one in lists if str(one.id) == page.query("list")), None)
    tag_id = next((one.id for one in tags if str(one.id) == page.query("tag")), None)
    state = next((state for state in SubscriptionState if state == page.query("state")), None)
    return Filters(page.query("q").strip()[:_LONGEST_QUERY], lists, tags, list_id, tag_id, state)


def pack(selection: Selection) -> str:
    """The selection as a hidden field carries it."""
    return json.dumps(selection.as_json())


def unpack(text: str) -> Selection:
    """A selection that a form brought back; raises InputError for what no page of ours wrote."""
    try:
        return _checked(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OSError, InputError):
        raise InputError(_("This selection cannot be read any more. Choose the people again.")) from None


def _checked(data: Mapping[str, Any]) -> Selection:
    ids = [_number(one) for one in data.get("ids", ())]
    if len(ids) > MOST_IDS:
        raise ValueError("too many")
    report_id, finding = data.get("report_id"), str(data.get("finding", ""))
    rule = rule_json(parse_rule(data["rule"])) if data.get("rule") is not None else None
    return Selection(
        tuple(ids), str(data.get("query", ""))[:_LONGEST_QUERY], _maybe(data.get("list_id")),
        _maybe(data.get("tag_id")), SubscriptionState(data["state"]) if data.get("state") else None,
        rule=rule, zone=ZoneInfo(str(data.get("zone") or "UTC")).key if rule else "", report_id=_maybe(report_id),
        finding=Finding(finding).value if finding else "")


def _number(value: object) -> int:
    if isinstance(value, bool) or not is_key(str(value)):
        raise ValueError("no id")
    return int(str(value))


def _maybe(value: object) -> int | None:
    return None if value is None else _number(value)


def field_labels() -> dict[str, str]:
    """The standard fields in the reader's language."""
    words = (_("First name"), _("Last name"), _("City"), _("Country"), _("Language"), _("Time zone"), _("Birth date"))
    return dict(zip(STANDARD_FIELDS, words, strict=True))
