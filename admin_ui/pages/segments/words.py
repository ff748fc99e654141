"""What the builder's controls offer, and a rule in the reader's language."""

from dataclasses import dataclass
from typing import Final

from admin_ui.pages.segments.builder import Node, op_of, ops_of, type_of
from admin_ui.words import _
from esp.audience.segment_text import (
    ENGAGEMENT_LABELS,
    HEADS,
    LEVEL_WORDS,
    STANDARD_LABELS,
    SUPPRESSED_WORDS,
    field_label,
    lines,
)
from esp.model.contact import SubscriptionState
from esp.model.fields import FieldType
from esp.model.segment import CUSTOM, IN_DAYS, MOMENT_OPS, VALUELESS, FieldOp, Group
from esp.ports.segments import Vocabulary

_OPS: Final = {
    FieldOp.IS: "is", FieldOp.IS_NOT: "is not", FieldOp.IN: "is one of", FieldOp.CONTAINS: "contains",
    FieldOp.NOT_CONTAINS: "does not contain", FieldOp.STARTS_WITH: "begins with", FieldOp.EMPTY: "is empty",
    FieldOp.NOT_EMPTY: "is filled in", FieldOp.GREATER: "is more than", FieldOp.LESS: "is less than",
    FieldOp.AT_LEAST: "is at least", FieldOp.AT_MOST: "is at most", FieldOp.BETWEEN: "is between",
    FieldOp.BEFORE: "is before", FieldOp.AFTER: "is after", FieldOp.IN_LAST: "is in the last (days)",
    FieldOp.IN_NEXT: "is in the next (days)", FieldOp.OLDER: "is more than (days) ago",
    FieldOp.ANNIVERSARY: "has its anniversary within (days)", FieldOp.HAS: "has", FieldOp.HAS_NOT: "does not have",
}
_DID: Final = {
    "sent": "Was sent a mail", "delivered": "Received a mail", "opened": "Opened a mail",
    "clicked": "Clicked in a mail", "bounced": "Mail bounced", "complained": "Complained about a mail",
    "unsubscribed": "Unsubscribed through a mail",
}
_WHENS: Final = {
    FieldOp.IN_LAST: "in the last (days)", FieldOp.OLDER: "more than (days) ago", FieldOp.AFTER: "after",
    FieldOp.BEFORE: "before", FieldOp.IS: "on", FieldOp.BETWEEN: "between",
}
_COUNTS: Final = (("at_least", "at least"), ("at_most", "at most"), ("exactly", "exactly"), ("never", "never"))
ALL_WORDS: Final = (*_OPS.values(), *_DID.values(), *_WHENS.values(), *(words for _key, words in _COUNTS))

Choice = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Shown:
    """A vocabulary as the templates need it; every list of choices is of (value, words)."""

    known: Vocabulary

    def lines(self, rule: Group) -> list[tuple[int, str]]:
        return lines(rule, self.known, _)

    def sentence(self, rule: Group, most: int = 200) -> str:
        """The conditions in one line, for a list of segments."""
        text = ""
        for at, words in self.lines(rule):
            if at:
                text += ("" if not text else " " if text.endswith(":") else "; ") + words
        return text if len(text) <= most else text[:most].rstrip() + "…"

    def matches(self) -> list[Choice]:
        return [(match.value, _(words)) for match, words in HEADS.items()]

    def whats(self) -> list[tuple[str, list[Choice]]]:
        """What a condition can be about, in groups."""
        own = [(f"field:{CUSTOM}{key}", one.label) for key, one in self.known.fields.items()]
        people = [("list", _("A list"))]
        for kind, words, there in (("tag", _("A tag"), self.known.tags), ("topic", _("A topic"), self.known.topics),
                                   ("segment", _("Another segment"), self.known.segments),
                                   ("snapshot", _("A snapshot"), self.known.snapshots)):
            if there:
                people.append((kind, words))
        people.append(("suppressed", _("May not be written to")))
        groups = [
            (_("About the person"), [(f"field:{name}", _(words)) for name, words in STANDARD_LABELS.items()]),
            (_("Own fields"), own), (_("What they are on"), people),
            (_("How they listen"), [(f"field:{name}", _(words)) for name, words in ENGAGEMENT_LABELS.items()]),
            (_("What they did"), [(f"did:{did}", _(words)) for did, words in _DID.items()]),
        ]
        return [(words, choices) for words, choices in groups if choices]

    def what_is_gone(self, node: Node) -> Choice | None:
        """The choice of a condition about something that is not offered any more, so that it stays as it was."""
        offered = {value for _words, choices in self.whats() for value, _label in choices}
        if not node.what or node.what in offered:
            return None
        kind, _sign, about = node.what.partition(":")
        return node.what, (field_label(about, self.known, _) if kind == "field" and about.startswith(CUSTOM)
                           else about or kind)

    # ---- fields

    def type(self, node: Node) -> FieldType:
        return type_of(self._about(node), self.known)

    def _about(self, node: Node) -> str:
        return node.what.partition(":")[2]

    def about(self, node: Node) -> str:
        return self._about(node)

    def op(self, node: Node) -> FieldOp:
        return op_of(node, self._about(node), self.known)

    def ops(self, node: Node) -> list[Choice]:
        return [(op.value, _(_OPS[op])) for op in ops_of(self._about(node), self.known)]

    def takes_none(self, node: Node) -> bool:
        return self.op(node) in VALUELESS

    def takes_days(self, node: Node) -> bool:
        return self.op(node) in IN_DAYS

    def takes_two(self, node: Node) -> bool:
        return self.op(node) is FieldOp.BETWEEN

    def takes_many(self, node: Node) -> bool:
        return self.op(node) is FieldOp.IN

    def levels(self, node: Node) -> list[Choice]:
        """The engagement levels, where one is to be chosen."""
        if self._about(node) != "engagement.level" or self.takes_many(node):
            return []
        return [(value, _(words)) for value, words in LEVEL_WORDS.items()]

    # ---- everything else

    def items(self, node: Node) -> list[Choice]:
        """The lists, tags, ... to choose from."""
        there = {"list": self.known.lists, "tag": self.known.tags, "topic": self.known.topics,
                 "snapshot": self.known.snapshots}.get(node.what)
        names = {key: one.name for key, one in self.known.segments.items()} if there is None else dict(there)
        found = [(str(key), name) for key, name in names.items()]
        chosen = node.value("item")
        if chosen and chosen not in dict(found):
            found.insert(0, (chosen, _("something deleted")))
        return found

    def negations(self, node: Node) -> list[Choice]:
        plain = {"tag": (_("has the tag"), _("does not have the tag")),
                 "topic": (_("wants mail about"), _("does not want mail about")),
                 "suppressed": (_("holds"), _("does not hold")), "list": (_("is"), _("is not"))}
        yes, no = plain.get(node.what, (_("is in"), _("is not in")))
        return [("", yes), ("1", no)]

    def reasons(self) -> list[Choice]:
        return [(reason or "any", _(words)) for (reason, negated), words in SUPPRESSED_WORDS.items() if not negated]

    def states(self) -> list[Choice]:
        words = {SubscriptionState.SUBSCRIBED: _("subscribed to"), SubscriptionState.PENDING: _("not yet confirmed"),
                 SubscriptionState.UNSUBSCRIBED: _("left")}
        return [*((state.value, text) for state, text in words.items()), ("any", _("ever on"))]

    def counts(self) -> list[Choice]:
        return [(value, _(words)) for value, words in _COUNTS]

    def whens(self) -> list[Choice]:
        return [("", _("at any time")), *((op.value, _(_WHENS[op])) for op in MOMENT_OPS)]

    def campaigns(self) -> list[Choice]:
        return [(str(key), name) for key, name in self.known.campaigns.items()]
