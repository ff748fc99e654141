"""The rule builder: from what a browser sends to nodes, from nodes to the rule's JSON, and back.

Every control is named by its node's place, ``0.2.op``; node ``0`` is the whole. What is typed may be half done and is
kept as typed; what it means, and what is wrong with it, is said by ``esp.model.segment_json`` alone.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from multidict import MultiMapping

from esp.model.contact import SubscriptionState
from esp.model.fields import FieldType
from esp.model.segment import (
    CUSTOM,
    ENGAGEMENT_TYPES,
    IN_DAYS,
    LEVEL_OPS,
    MAX_CONDITIONS,
    MAX_DEPTH,
    MOMENT_OPS,
    OPS,
    STANDARD_TYPES,
    VALUELESS,
    FieldOp,
    Group,
)
from esp.model.segment_json import rule_json
from esp.ports.segments import Vocabulary

ROOT: Final = "0"
_NAME: Final = re.compile(r"(0(?:\.\d{1,3}){0,8})\.([a-z_]{1,12})")
_MANY: Final = frozenset({"campaigns"})
LIST_STATES: Final = (*(state.value for state in SubscriptionState), "any")


@dataclass(slots=True)
class Node:
    """A group or a condition as typed. ``values``: text by control; ``campaigns`` a list of them."""

    place: str
    values: dict[str, Any] = field(default_factory=dict)
    children: list["Node"] = field(default_factory=list)
    problem: str = ""

    @property
    def is_group(self) -> bool:
        return self.values.get("kind") == "group"

    @property
    def what(self) -> str:
        """``field:city``, ``list``, ``did:opened``, ...: what the condition is about."""
        return str(self.values.get("what", ""))

    def value(self, name: str) -> str:
        return str(self.values.get(name, ""))

    @property
    def depth(self) -> int:
        return self.place.count(".")

    def walk(self) -> Iterator["Node"]:
        yield self
        for child in self.children:
            yield from child.walk()


# ---- what was posted -------------------------------------------------------------------------------------------------


def read_nodes(posted: MultiMapping[Any]) -> Node:
    """The tree that was posted; what does not belong to it is left out."""
    nodes: dict[str, Node] = {ROOT: Node(ROOT, {"kind": "group", "match": "all"})}
    for name in posted:
        found = _NAME.fullmatch(name)
        if not found or len(nodes) > 4 * MAX_CONDITIONS:
            continue
        place, control = found.groups()
        node = nodes.setdefault(place, Node(place))
        texts = [str(one).replace("\0", "") for one in posted.getall(name)]
        node.values[control] = texts if control in _MANY else texts[0]
    for place in sorted(nodes, key=lambda text: [int(one) for one in text.split(".")]):
        parent = nodes.get(place.rpartition(".")[0])
        if place != ROOT and parent is not None and parent.is_group:
            parent.children.append(nodes[place])
    return _placed(nodes[ROOT], ROOT)


def _placed(node: Node, place: str) -> Node:
    """The same tree numbered without gaps."""
    node.place = place
    for number, child in enumerate(node.children):
        _placed(child, f"{place}.{number}")
    return node


def changed(root: Node, what: str) -> Node:
    """The tree after a button: ``add:0.1`` a condition, ``group:0`` a group with one, ``remove:0.2``."""
    verb, _, place = what.partition(":")
    target = next((node for node in root.walk() if node.place == place), None)
    if target is None:
        return root
    total = sum(not node.is_group for node in root.walk())
    if verb == "add" and target.is_group and total < MAX_CONDITIONS:
        target.children.append(fresh())
    elif verb == "group" and target.is_group and total < MAX_CONDITIONS and target.depth < MAX_DEPTH - 1:
        target.children.append(Node("", {"kind": "group", "match": "any"}, [fresh()]))
    elif verb == "remove" and place != ROOT:
        parent = next(node for node in root.walk() if target in node.children)
        parent.children.remove(target)
    return _placed(root, ROOT)


def fresh() -> Node:
    return Node("", {"what": "field:city", "op": FieldOp.IS.value})


def started() -> Node:
    """A new segment's rule: one condition to begin with."""
    return _placed(Node(ROOT, {"kind": "group", "match": "all"}, [fresh()]), ROOT)


# ---- to JSON ---------------------------------------------------------------------------------------------------------


def to_json(root: Node, known: Vocabulary) -> dict[str, Any]:
    """The rule as JSON, problems and all: numbers that are none stay text, so that they are named as such."""
    return {"version": 1, **_json(root, known)}


def _json(node: Node, known: Vocabulary) -> dict[str, Any]:
    if node.is_group:
        return {"match": node.value("match"), "rules": [_json(child, known) for child in node.children]}
    kind, _, about = node.what.partition(":")
    negative = {"not": True} if node.value("neg") else {}
    match kind:
        case "field":
            return _field_json(node, about, known)
        case "list":
            return {"list": _number(node.value("item")), "state": node.value("state") or "subscribed",
                    **_when_json(node), **negative}
        case "did":
            return _did_json(node, about)
        case "suppressed":
            return {"suppressed": node.value("reason") or "any", **negative}
    return {kind or "field": _number(node.value("item")), **negative}


def type_of(about: str, known: Vocabulary) -> FieldType:
    """The type of a field as the builder shows it; text where it is not there any more."""
    if about.startswith(CUSTOM):
        name = known.fields.get(about[len(CUSTOM):])
        return name.type if name else FieldType.TEXT
    return {**STANDARD_TYPES, **ENGAGEMENT_TYPES}.get(about, FieldType.TEXT)


def ops_of(about: str, known: Vocabulary) -> tuple[FieldOp, ...]:
    if about == "created_at":
        return MOMENT_OPS
    if about == "engagement.level":
        return LEVEL_OPS
    return OPS[type_of(about, known)]


def op_of(node: Node, about: str, known: Vocabulary) -> FieldOp:
    """The chosen operator, or the first one where the chosen one does not fit the field."""
    ops = ops_of(about, known)
    return next((op for op in ops if op.value == node.value("op")), ops[0])


def _field_json(node: Node, about: str, known: Vocabulary) -> dict[str, Any]:
    kind, op = type_of(about, known), op_of(node, about, known)
    plain: dict[str, Any] = {"field": about, "op": op.value}
    if about.startswith(CUSTOM):
        plain["type"] = kind.value
    return {**plain, **_value_json(op, kind, node.value("value"), node.value("other"))}


def _value_json(op: FieldOp, kind: FieldType, value: str, other: str) -> dict[str, Any]:
    if op in VALUELESS:
        return {}
    value, other = value.strip(), other.strip()
    if op in IN_DAYS:
        return {"value": _number(value)}
    if op is FieldOp.IN:
        return {"value": [one.strip() for one in re.split(r"[\n,;]", value) if one.strip()]}

    def read(text: str) -> Any:
        if kind is FieldType.NUMBER:
            return _number(text)
        return {"true": True, "false": False}.get(text, text) if kind is FieldType.BOOLEAN else text

    return {"value": [read(value), read(other)] if op is FieldOp.BETWEEN else read(value)}


def _number(text: str) -> Any:
    """A number where it is one; else the text, which is then refused in words."""
    plain = text.strip().replace(",", ".")
    try:
        return int(plain) if re.fullmatch(r"[+-]?\d{1,18}", plain) else float(plain)
    except ValueError:
        return text


def _when_json(node: Node) -> dict[str, Any]:
    op = next((one for one in MOMENT_OPS if one.value == node.value("when")), None)
    if op is None:
        return {}
    return {"when": {"op": op.value,
                     **_value_json(op, FieldType.DATE, node.value("when_value"), node.value("when_other"))}}


def _did_json(node: Node, about: str) -> dict[str, Any]:
    plain: dict[str, Any] = {"did": about, "count": node.value("count") or "at_least",
                             "times": _number(node.value("times") or "1"), **_when_json(node)}
    if node.value("count") == "never":
        plain |= {"count": "at_most", "times": 0}
    chosen = [_number(one) for one in node.values.get("campaigns", []) if one]
    if chosen:
        plain["campaigns"] = chosen
    if about == "clicked" and node.value("link").strip():
        plain["link"] = node.value("link").strip()
    if about in ("opened", "clicked") and node.value("machines"):
        plain["machines"] = True
    return plain


def place_of(path: str) -> tuple[str, str]:
    """The node that ``rules[1].rules[0].value`` speaks of, and the rest: ``0.1.0`` and ``value``."""
    numbers = re.match(r"(?:rules\[(\d+)\]\.?)*", path)
    assert numbers is not None
    steps = re.findall(r"rules\[(\d+)\]", numbers[0])
    return ".".join([ROOT, *steps]), path[numbers.end():]


def blame(root: Node, problems: Mapping[str, str]) -> list[str]:
    """Put each problem at its node; those that belong to none are returned."""
    rest = []
    nodes = {node.place: node for node in root.walk()}
    for path, words in problems.items():
        place, _rest = place_of(path)
        node = nodes.get(place)
        if node is None or (place == ROOT and path != "rules"):
            rest.append(words)
        else:
            node.problem = node.problem or words
    return rest


# ---- from a rule -----------------------------------------------------------------------------------------------------


def nodes_of(rule: Group) -> Node:
    """The tree that shows a saved rule."""
    return _placed(_node(rule_json(rule)), ROOT)


def _node(plain: Mapping[str, Any]) -> Node:
    if "match" in plain:
        return Node("", {"kind": "group", "match": plain["match"]}, [_node(one) for one in plain["rules"]])
    values: dict[str, Any] = {"neg": "1"} if plain.get("not") else {}
    if "field" in plain:
        value, other = _shown(plain.get("value"), plain["op"])
        return Node("", {"what": f"field:{plain['field']}", "op": plain["op"], "value": value, "other": other})
    if when := plain.get("when"):
        value, other = _shown(when.get("value"), when["op"])
        values |= {"when": when["op"], "when_value": value, "when_other": other}
    if "did" in plain:
        never = plain["count"] != "at_least" and plain["times"] == 0
        values |= {"what": f"did:{plain['did']}", "count": "never" if never else plain["count"],
                   "times": str(plain["times"]), "campaigns": [str(one) for one in plain.get("campaigns", [])],
                   "link": plain.get("link", ""), "machines": "1" if plain.get("machines") else ""}
    elif "list" in plain:
        values |= {"what": "list", "item": str(plain["list"]), "state": plain["state"]}
    elif "suppressed" in plain:
        values |= {"what": "suppressed", "reason": plain["suppressed"]}
    else:
        (kind,) = plain.keys() - {"not"}
        values |= {"what": kind, "item": str(plain[kind])}
    return Node("", values)


def _shown(value: Any, op: str) -> tuple[str, str]:
    if isinstance(value, list):
        return (", ".join(map(str, value)), "") if op == FieldOp.IN else (_text(value[0]), _text(value[-1]))
    return _text(value), ""


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return "" if value is None else str(value)
