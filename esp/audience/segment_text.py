"""A rule as a sentence that a marketer reads: English here, other languages through ``words``.

Each condition is one phrase with gaps, so that a translator has whole phrases before them.
"""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Final

from esp.model.contact import SubscriptionState, SuppressionReason
from esp.model.fields import FieldType
from esp.model.listening import Level
from esp.model.segment import (
    CUSTOM,
    Count,
    Doing,
    FieldOp,
    FieldRule,
    Group,
    Leaf,
    ListRule,
    MailRule,
    Match,
    Rule,
    SegmentRule,
    SnapshotRule,
    SuppressedRule,
    TagRule,
    TopicRule,
    Value,
    When,
)
from esp.ports.segments import Vocabulary

Words = Callable[[str], str]

STANDARD_LABELS: Final[Mapping[str, str]] = {
    "email": "E-mail address", "domain": "Domain of the address", "first_name": "First name", "last_name": "Last name",
    "city": "City", "country": "Country", "language": "Language", "time_zone": "Time zone", "source": "Source",
    "birth_date": "Birth date", "created_at": "Date added",
}
ENGAGEMENT_LABELS: Final[Mapping[str, str]] = {
    "engagement.level": "Engagement level", "engagement.score": "Engagement score",
    "engagement.alive": "Chance of still responding (%)", "engagement.expected": "Expected responses to ten mails",
    "engagement.opportunities": "Mails received", "engagement.responses": "Mails opened or clicked",
}
LEVEL_WORDS: Final[Mapping[str, str]] = {
    Level.NEW.value: "new", Level.ACTIVE.value: "active", Level.COOLING.value: "cooling",
    Level.DORMANT.value: "dormant", Level.LOST.value: "lost",
}
OP_WORDS: Final[Mapping[FieldOp, str]] = {
    FieldOp.IS: "{field} is {value}", FieldOp.IS_NOT: "{field} is not {value}",
    FieldOp.IN: "{field} is one of {value}",
    FieldOp.CONTAINS: "{field} contains {value}", FieldOp.NOT_CONTAINS: "{field} does not contain {value}",
    FieldOp.STARTS_WITH: "{field} begins with {value}",
    FieldOp.EMPTY: "{field} is empty", FieldOp.NOT_EMPTY: "{field} is filled in",
    FieldOp.GREATER: "{field} is more than {value}", FieldOp.LESS: "{field} is less than {value}",
    FieldOp.AT_LEAST: "{field} is at least {value}", FieldOp.AT_MOST: "{field} is at most {value}",
    FieldOp.BETWEEN: "{field} is between {value} and {other}",
    FieldOp.BEFORE: "{field} is before {value}", FieldOp.AFTER: "{field} is after {value}",
    FieldOp.IN_LAST: "{field} is in the last {value} days", FieldOp.IN_NEXT: "{field} is in the next {value} days",
    FieldOp.OLDER: "{field} is more than {value} days ago",
    FieldOp.ANNIVERSARY: "{field} has its anniversary within the next {value} days",
    FieldOp.HAS: "{field} has {value}", FieldOp.HAS_NOT: "{field} does not have {value}",
}
ANNIVERSARY_TODAY: Final = "{field} has its anniversary today"
YES: Final = "yes"
NO: Final = "no"
WHEN_WORDS: Final[Mapping[FieldOp, str]] = {
    FieldOp.IS: "on {value}", FieldOp.BEFORE: "before {value}", FieldOp.AFTER: "after {value}",
    FieldOp.BETWEEN: "between {value} and {other}", FieldOp.IN_LAST: "in the last {value} days",
    FieldOp.OLDER: "more than {value} days ago",
}
LIST_WORDS: Final[Mapping[tuple[SubscriptionState | None, bool], str]] = {
    (SubscriptionState.SUBSCRIBED, False): "is subscribed to {name}",
    (SubscriptionState.SUBSCRIBED, True): "is not subscribed to {name}",
    (SubscriptionState.PENDING, False): "has not yet confirmed {name}",
    (SubscriptionState.PENDING, True): "is not waiting to confirm {name}",
    (SubscriptionState.UNSUBSCRIBED, False): "has left {name}",
    (SubscriptionState.UNSUBSCRIBED, True): "has not left {name}",
    (None, False): "is or was on {name}",
    (None, True): "was never on {name}",
}
NUMBERED_WORDS: Final[Mapping[tuple[type, bool], str]] = {
    (TagRule, False): "has the tag {name}", (TagRule, True): "does not have the tag {name}",
    (TopicRule, False): "wants mail about {name}", (TopicRule, True): "does not want mail about {name}",
    (SegmentRule, False): "is in the segment {name}", (SegmentRule, True): "is not in the segment {name}",
    (SnapshotRule, False): "is in the snapshot {name}", (SnapshotRule, True): "is not in the snapshot {name}",
}
SUPPRESSED_WORDS: Final[Mapping[tuple[str, bool], str]] = {
    ("", False): "may not be written to", ("", True): "may be written to",
    (SuppressionReason.HARD_BOUNCE.value, False): "has an address that bounced for good",
    (SuppressionReason.HARD_BOUNCE.value, True): "has no address that bounced for good",
    (SuppressionReason.COMPLAINT.value, False): "complained about a mail",
    (SuppressionReason.COMPLAINT.value, True): "never complained about a mail",
    (SuppressionReason.MANUAL.value, False): "was blocked by hand",
    (SuppressionReason.MANUAL.value, True): "was not blocked by hand",
    (SuppressionReason.UNSUBSCRIBED.value, False): "unsubscribed from everything",
    (SuppressionReason.UNSUBSCRIBED.value, True): "did not unsubscribe from everything",
}
ONCE_WORDS: Final[Mapping[Doing, str]] = {
    Doing.SENT: "was sent {what}", Doing.DELIVERED: "received {what}", Doing.OPENED: "opened {what}",
    Doing.CLICKED: "clicked in {what}", Doing.BOUNCED: "did not receive {what}, because it bounced",
    Doing.COMPLAINED: "complained about {what}", Doing.UNSUBSCRIBED: "unsubscribed through {what}",
}
NEVER_WORDS: Final[Mapping[Doing, str]] = {
    Doing.SENT: "was not sent {what}", Doing.DELIVERED: "did not receive {what}",
    Doing.OPENED: "did not open {what}", Doing.CLICKED: "did not click in {what}",
    Doing.BOUNCED: "had no bounce of {what}", Doing.COMPLAINED: "did not complain about {what}",
    Doing.UNSUBSCRIBED: "did not unsubscribe through {what}",
}
ANY_MAIL: Final = "any mail"
MAILS_WORDS: Final[Mapping[Count, str]] = {
    Count.AT_LEAST: "at least {times} mails", Count.AT_MOST: "at most {times} mails",
    Count.EXACTLY: "exactly {times} mails",
}
OF_CAMPAIGNS: Final = "{mails} of {names}"
CLICKED_LINK: Final = "clicked a link with {link} in {what}"
NOT_CLICKED_LINK: Final = "did not click a link with {link} in {what}"
MACHINES_WORDS: Final = "machines counted too"
GONE: Final = "something deleted"
OR: Final = "or"
HEADS: Final[Mapping[Match, str]] = {
    Match.ALL: "All of these hold", Match.ANY: "At least one of these holds", Match.NONE: "None of these holds",
}
ALL_WORDS: Final = tuple(dict.fromkeys((
    *STANDARD_LABELS.values(), *ENGAGEMENT_LABELS.values(), *LEVEL_WORDS.values(), *OP_WORDS.values(),
    ANNIVERSARY_TODAY, YES, NO, *WHEN_WORDS.values(),
    *LIST_WORDS.values(), *NUMBERED_WORDS.values(), *SUPPRESSED_WORDS.values(), *ONCE_WORDS.values(),
    *NEVER_WORDS.values(), ANY_MAIL, *MAILS_WORDS.values(), OF_CAMPAIGNS, CLICKED_LINK, NOT_CLICKED_LINK,
    MACHINES_WORDS, GONE, OR, *HEADS.values(),
)))


def describe(rule: Rule, known: Vocabulary, words: Words = str, depth: int = 0) -> str:
    """The rule as lines of text, inner groups indented by two blanks."""
    return "\n".join("  " * at + text for at, text in lines(rule, known, words, depth))


def lines(rule: Rule, known: Vocabulary, words: Words = str, depth: int = 0) -> list[tuple[int, str]]:
    """Lines of (indent, text): a group's head, then its conditions one deeper."""
    if not isinstance(rule, Group):
        return [(depth, phrase(rule, known, words))]
    head = words(HEADS[rule.match]) + ":"
    return [(depth, head), *(line for one in rule.rules for line in lines(one, known, words, depth + 1))]


def phrase(leaf: Leaf, known: Vocabulary, words: Words = str) -> str:
    """One condition."""
    match leaf:
        case FieldRule():
            return _field(leaf, known, words)
        case ListRule(list_id, state, when, negated):
            text = words(LIST_WORDS[state, negated]).format(name=known.lists.get(list_id, words(GONE)))
            return f"{text} ({_when(when, words)})" if when else text
        case MailRule():
            return _mail(leaf, known, words)
        case SuppressedRule(reason, negated):
            return words(SUPPRESSED_WORDS[reason, negated])
        case TagRule(number, negated):
            name = known.tags.get(number)
        case TopicRule(number, negated):
            name = known.topics.get(number)
        case SnapshotRule(number, negated):
            name = known.snapshots.get(number)
        case SegmentRule(number, negated):
            other = known.segments.get(number)
            name = other.name if other else None
    return words(NUMBERED_WORDS[type(leaf), negated]).format(name=name or words(GONE))


def field_label(field: str, known: Vocabulary, words: Words = str) -> str:
    """A field as people call it."""
    if field in ENGAGEMENT_LABELS:
        return words(ENGAGEMENT_LABELS[field])
    if not field.startswith(CUSTOM):
        return words(STANDARD_LABELS[field])
    name = known.fields.get(field[len(CUSTOM):])
    return name.label if name else field[len(CUSTOM):]


def _value(value: Value, words: Words) -> str:
    if isinstance(value, bool):
        return words(YES if value else NO)
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e6 and value == round(value, 4) else f"{value!r}".removesuffix(".0")
    return value.isoformat() if isinstance(value, date) else str(value)


def _field(rule: FieldRule, known: Vocabulary, words: Words) -> str:
    today = rule.op is FieldOp.ANNIVERSARY and rule.values[0] == 0
    values = [_value(one, words) for one in rule.values]
    quoted = rule.type in (FieldType.TEXT, FieldType.CHOICE, FieldType.CHOICES)
    if rule.field == "engagement.level":
        values = [words(LEVEL_WORDS.get(one, one)) for one in values]
    if quoted:
        values = [f"“{one}”" for one in values]
    value = ", ".join(values) if rule.op is FieldOp.IN else values[0] if values else ""
    return words(ANNIVERSARY_TODAY if today else OP_WORDS[rule.op]).format(
        field=field_label(rule.field, known, words), value=value, other=values[-1] if values else "")


def _when(when: When, words: Words) -> str:
    values = [_value(one, words) for one in when.values]
    return words(WHEN_WORDS[when.op]).format(value=values[0], other=values[-1])


def _mail(rule: MailRule, known: Vocabulary, words: Words) -> str:
    never = rule.count is not Count.AT_LEAST and rule.times == 0
    once = rule.count is Count.AT_LEAST and rule.times == 1
    what = words(ANY_MAIL) if never or once else words(MAILS_WORDS[rule.count]).format(times=rule.times)
    if rule.campaigns:
        names = f" {words(OR)} ".join(f"“{known.campaigns.get(one) or words(GONE)}”" for one in rule.campaigns)
        what = names if never or once else words(OF_CAMPAIGNS).format(mails=what, names=names)
    if rule.link:
        sentence = NOT_CLICKED_LINK if never else CLICKED_LINK
    else:
        sentence = (NEVER_WORDS if never else ONCE_WORDS)[rule.did]
    text = words(sentence).format(what=what, link=f"“{rule.link}”")
    if rule.when:
        text = f"{text} {_when(rule.when, words)}"
    return f"{text} ({words(MACHINES_WORDS)})" if rule.machines else text
