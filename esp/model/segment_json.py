"""A segment's rule as JSON, version 1: what the database keeps, the API takes, and a person may read and write.

    {"version": 1, "match": "all", "rules": [
        {"field": "city", "op": "is", "value": "Bandung"},
        {"field": "fields.points", "type": "number", "op": "between", "value": [10, 90]},
        {"list": 3, "state": "subscribed", "when": {"op": "in_last", "value": 30}},
        {"match": "none", "rules": [{"did": "opened", "times": 1, "campaigns": [7]}, {"tag": 5}]}]}
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import date
from enum import StrEnum
from typing import Any, Final, TypeVar

from esp.errors import InputError
from esp.model.contact import SubscriptionState, SuppressionReason
from esp.model.fields import FieldType
from esp.model.listening import Level
from esp.model.segment import (
    CUSTOM,
    ENGAGEMENT_TYPES,
    IN_DAYS,
    LEVEL_OPS,
    MAX_CONDITIONS,
    MAX_DAYS,
    MAX_DEPTH,
    MAX_TEXT,
    MOMENT_OPS,
    OPS,
    STANDARD_TYPES,
    VALUELESS,
    Count,
    Doing,
    FieldOp,
    FieldRule,
    Group,
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

VERSION: Final = 1
_TYPES: Final = {**STANDARD_TYPES, **ENGAGEMENT_TYPES}
_BIGGEST_ID: Final = 2**53  # what JSON carries everywhere; ids never come near
_MOST_VALUES: Final = 100
_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_UNKEPT: Final = re.compile("[\\x00\\ud800-\\udfff]")  # what no database takes
E = TypeVar("E", bound=StrEnum)


def parse_rule(data: object) -> Group:
    """The rule of a JSON value. Raises InputError whose problems name each bad place by its path, as
    ``rules[1].value``."""
    reader = _Reader()
    if not isinstance(data, Mapping):
        raise InputError("The rule cannot be used.", {"rule": "Expected an object with match and rules."})
    version = data.get("version", VERSION)
    if version != VERSION or isinstance(version, bool):
        words = f"Only version {VERSION} is known here."
        raise InputError(f"The rule cannot be used. version: {words}", {"version": words})
    rule = reader.rule({key: value for key, value in data.items() if key != "version"}, "", 0)
    if not isinstance(rule, Group):
        rule = Group(Match.ALL, (rule,)) if rule else Group(Match.ALL, ())
    if not reader.problems and not rule.rules:
        reader.problems["rules"] = "Add at least one condition."
    if reader.problems:
        path, words = next(iter(reader.problems.items()))
        raise InputError(f"The rule cannot be used. {path or 'rule'}: {words}", reader.problems)
    return rule


class _Bad(Exception):  # noqa: N818 - never leaves this module
    """One bad place: its path beneath the current one, and a sentence."""

    def __init__(self, key: str, words: str) -> None:
        super().__init__(words)
        self.key, self.words = key, words


class _Reader:
    """Reads nested objects and gathers problems by path."""

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}
        self.conditions = 0

    def rule(self, data: object, path: str, depth: int) -> Rule | None:
        try:
            if not isinstance(data, Mapping):
                raise _Bad("", "Expected an object.")
            if "match" in data or "rules" in data:
                return self._group(data, path, depth)
            self.conditions += 1
            if self.conditions > MAX_CONDITIONS:
                if self.conditions == MAX_CONDITIONS + 1:
                    raise _Bad("", f"A rule has at most {MAX_CONDITIONS} conditions.")
                return None
            return _leaf(data)
        except _Bad as bad:
            self.problems[".".join(filter(None, (path, bad.key)))] = bad.words
            return None

    def _group(self, data: Mapping[str, Any], path: str, depth: int) -> Group:
        _only(data, "match", "rules")
        if depth >= MAX_DEPTH:
            raise _Bad("", f"Groups can stand at most {MAX_DEPTH} deep within each other.")
        match = _one_of(Match, data, "match", Match.ALL)
        rules = data.get("rules")
        if not isinstance(rules, list):
            raise _Bad("rules", "Expected a list of conditions.")
        if depth and not rules:
            raise _Bad("rules", "A group needs at least one condition.")
        if len(rules) > MAX_CONDITIONS:
            raise _Bad("rules", f"A rule has at most {MAX_CONDITIONS} conditions.")
        prefix = f"{path}.rules" if path else "rules"
        found = [self.rule(one, f"{prefix}[{number}]", depth + 1) for number, one in enumerate(rules)]
        return Group(match, tuple(one for one in found if one is not None))


def _leaf(data: Mapping[str, Any]) -> Rule:
    for key, read in _LEAVES.items():
        if key in data:
            return read(data)
    raise _Bad("", f"Expected a condition with one of {', '.join(_LEAVES)}, or a group with match and rules.")


def _only(data: Mapping[str, Any], *known: str) -> None:
    for key in data:
        if key not in known:
            raise _Bad(str(key)[:80], f"Not known here; there are {', '.join(known)}.")


def _one_of(kind: type[E], data: Mapping[str, Any], key: str, default: E) -> E:
    if key not in data:
        return default
    try:
        if not isinstance(data[key], str):
            raise ValueError
        return kind(data[key])
    except ValueError:
        raise _Bad(key, f"Expected one of {', '.join(kind)}.") from None


def _flag(data: Mapping[str, Any], key: str) -> bool:
    value = data.get(key, False)
    if not isinstance(value, bool):
        raise _Bad(key, "Expected true or false.")
    return value


def _whole(value: object, key: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise _Bad(key, f"Expected a whole number from {least} to {most:,}.")
    return value


def _id(data: Mapping[str, Any], key: str) -> int:
    return _whole(data[key], key, 1, _BIGGEST_ID)


def _text(value: object, key: str) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT or _UNKEPT.search(value):
        raise _Bad(key, f"Expected text of at most {MAX_TEXT} characters.")
    return value


def _day(value: object, key: str) -> date:
    try:
        if not isinstance(value, str) or len(value) != 10:
            raise ValueError
        return date.fromisoformat(value)
    except ValueError:
        raise _Bad(key, "Expected a date as YYYY-MM-DD.") from None


def _number(value: object, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300 or not math.isfinite(value):
        raise _Bad(key, "Expected a number.")
    return float(value)


def _boolean(value: object, key: str) -> bool:
    if not isinstance(value, bool):
        raise _Bad(key, "Expected true or false.")
    return value


_READ_VALUE: Final[Mapping[FieldType, Callable[[object, str], Value]]] = {
    FieldType.TEXT: _text, FieldType.CHOICE: _text, FieldType.CHOICES: _text, FieldType.NUMBER: _number,
    FieldType.DATE: _day, FieldType.BOOLEAN: _boolean,
}


def _values(data: Mapping[str, Any], kind: FieldType, op: FieldOp) -> tuple[Value, ...]:
    if op in VALUELESS:
        if data.get("value") is not None:
            raise _Bad("value", f"{op} takes no value.")
        return ()
    if "value" not in data:
        raise _Bad("value", "A value is needed.")
    value = data["value"]
    if op in IN_DAYS:
        return (_whole(value, "value", 0 if op is FieldOp.ANNIVERSARY else 1, MAX_DAYS),)
    read = _READ_VALUE[kind]
    if op not in (FieldOp.BETWEEN, FieldOp.IN):
        one = read(value, "value")
        if one == "":
            raise _Bad("value", "A value is needed.")
        return (one,)
    if not isinstance(value, list) or (op is FieldOp.BETWEEN and len(value) != 2):
        raise _Bad("value", "Expected a list of two values, from and to." if op is FieldOp.BETWEEN
                   else "Expected a list of values.")
    if not 1 <= len(value) <= _MOST_VALUES:
        raise _Bad("value", f"Expected 1 to {_MOST_VALUES} values.")
    if "" in value:
        raise _Bad(f"value[{value.index('')}]", "A value is needed.")
    return tuple(read(one, f"value[{number}]") for number, one in enumerate(value))


def _field(data: Mapping[str, Any]) -> FieldRule:
    _only(data, "field", "type", "op", "value")
    name = data["field"]
    if not isinstance(name, str):
        raise _Bad("field", "Expected the name of a field.")
    if name.startswith(CUSTOM):
        if not _KEY.fullmatch(name[len(CUSTOM):]):
            raise _Bad("field", "A field's name is of letters, digits and underscores.")
        kind = _one_of(FieldType, data, "type", FieldType.TEXT)
    elif name in _TYPES:
        kind = _one_of(FieldType, data, "type", _TYPES[name])
        if kind is not _TYPES[name]:
            raise _Bad("type", f"{name} is of type {_TYPES[name]}.")
    else:
        raise _Bad("field", f"Expected one of {', '.join(_TYPES)}, or fields. and the name of a custom field.")
    if "op" not in data:
        raise _Bad("op", "An operator is needed.")
    op = _one_of(FieldOp, data, "op", FieldOp.IS)
    if op not in OPS[kind]:
        raise _Bad("op", f"For {kind} there are {', '.join(OPS[kind])}.")
    if name == "engagement.level" and op not in LEVEL_OPS:
        raise _Bad("op", f"For {name} there are {', '.join(LEVEL_OPS)}.")
    if name == "created_at" and op in (FieldOp.ANNIVERSARY, *VALUELESS):
        raise _Bad("op", f"For created_at there are {', '.join(MOMENT_OPS)}.")
    values = _values(data, kind, op)
    if name == "engagement.level" and not set(values) <= set(Level):
        raise _Bad("value", f"Expected one of {', '.join(Level)}.")
    return FieldRule(name, kind, op, values)


def _when(data: Mapping[str, Any]) -> When | None:
    when = data.get("when")
    if when is None:
        return None
    if not isinstance(when, Mapping):
        raise _Bad("when", "Expected an object with op and value.")
    try:
        _only(when, "op", "value")
        op = _one_of(FieldOp, when, "op", FieldOp.IN_LAST)
        if op not in MOMENT_OPS:
            raise _Bad("op", f"Expected one of {', '.join(MOMENT_OPS)}.")
        values = _values(when, FieldType.DATE, op)
    except _Bad as bad:
        raise _Bad(f"when.{bad.key}", bad.words) from None
    return When(op, tuple(one for one in values if isinstance(one, date | int)))


def _list(data: Mapping[str, Any]) -> ListRule:
    _only(data, "list", "state", "when", "not")
    state = None if data.get("state") == "any" else _one_of(
        SubscriptionState, data, "state", SubscriptionState.SUBSCRIBED)
    return ListRule(_id(data, "list"), state, _when(data), _flag(data, "not"))


def _mail(data: Mapping[str, Any]) -> MailRule:
    _only(data, "did", "count", "times", "campaigns", "link", "when", "machines")
    did = _one_of(Doing, data, "did", Doing.OPENED)
    link = _text(data.get("link", ""), "link").strip()
    if link and did is not Doing.CLICKED:
        raise _Bad("link", "Only clicks have a link.")
    machines = _flag(data, "machines")
    if machines and did not in (Doing.OPENED, Doing.CLICKED):
        raise _Bad("machines", "Only opens and clicks are told apart by people and machines.")
    campaigns = data.get("campaigns", [])
    if not isinstance(campaigns, list) or len(campaigns) > _MOST_VALUES:
        raise _Bad("campaigns", f"Expected a list of at most {_MOST_VALUES} campaigns' numbers.")
    ids = tuple(_whole(one, f"campaigns[{number}]", 1, _BIGGEST_ID) for number, one in enumerate(campaigns))
    times = _whole(data.get("times", 1), "times", 0, 10_000)
    count = _one_of(Count, data, "count", Count.AT_LEAST)
    if count is Count.AT_LEAST and times == 0:
        raise _Bad("times", "At least none is everybody; write at_most 0 for nobody's doing it.")
    return MailRule(did, count, times, ids, link, _when(data), machines)


def _suppressed(data: Mapping[str, Any]) -> SuppressedRule:
    _only(data, "suppressed", "not")
    if data["suppressed"] == "any":
        return SuppressedRule("", _flag(data, "not"))
    reason = _one_of(SuppressionReason, data, "suppressed", SuppressionReason.MANUAL)
    return SuppressedRule(reason.value, _flag(data, "not"))


def _numbered(key: str, make: Callable[[int, bool], Rule]) -> Callable[[Mapping[str, Any]], Rule]:
    def read(data: Mapping[str, Any]) -> Rule:
        _only(data, key, "not")
        return make(_id(data, key), _flag(data, "not"))

    return read


_LEAVES: Final[Mapping[str, Callable[[Mapping[str, Any]], Rule]]] = {
    "field": _field, "list": _list, "did": _mail, "tag": _numbered("tag", TagRule),
    "topic": _numbered("topic", TopicRule), "suppressed": _suppressed, "segment": _numbered("segment", SegmentRule),
    "snapshot": _numbered("snapshot", SnapshotRule),
}


# ---- back to JSON ----------------------------------------------------------------------------------------------------


def rule_json(rule: Group) -> dict[str, Any]:
    """The JSON value that ``parse_rule`` reads back to the same rule."""
    return {"version": VERSION, **_plain(rule)}


def _plain(rule: Rule) -> dict[str, Any]:
    match rule:
        case Group():
            return {"match": rule.match.value, "rules": [_plain(one) for one in rule.rules]}
        case FieldRule():
            kind = {"type": rule.type.value} if rule.field.startswith(CUSTOM) else {}
            return {"field": rule.field, **kind, "op": rule.op.value, **_plain_values(rule.op, rule.values)}
        case ListRule():
            return {"list": rule.list_id, "state": rule.state.value if rule.state else "any",
                    **_plain_when(rule.when), **_not(rule.negated)}
        case MailRule():
            return _plain_mail(rule)
        case TagRule():
            return {"tag": rule.tag, **_not(rule.negated)}
        case TopicRule():
            return {"topic": rule.topic, **_not(rule.negated)}
        case SuppressedRule():
            return {"suppressed": rule.reason or "any", **_not(rule.negated)}
        case SegmentRule():
            return {"segment": rule.segment_id, **_not(rule.negated)}
        case SnapshotRule():
            return {"snapshot": rule.snapshot_id, **_not(rule.negated)}


def _plain_mail(rule: MailRule) -> dict[str, Any]:
    plain: dict[str, Any] = {"did": rule.did.value, "count": rule.count.value, "times": rule.times}
    if rule.campaigns:
        plain["campaigns"] = list(rule.campaigns)
    if rule.link:
        plain["link"] = rule.link
    if rule.machines:
        plain["machines"] = True
    return {**plain, **_plain_when(rule.when)}


def _plain_when(when: When | None) -> dict[str, Any]:
    return {} if when is None else {"when": {"op": when.op.value, **_plain_values(when.op, when.values)}}


def _plain_values(op: FieldOp, values: tuple[Value, ...]) -> dict[str, Any]:
    if op in VALUELESS:
        return {}
    plain = [one.isoformat() if isinstance(one, date) else one for one in values]
    return {"value": plain if op in (FieldOp.BETWEEN, FieldOp.IN) else plain[0]}


def _not(negated: bool) -> dict[str, Any]:
    return {"not": True} if negated else {}
