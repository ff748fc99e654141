"""Segment rules at the door: outside names where the stored rule has numbers, both ways."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from esp.entry.api.call import Call
from esp.entry.api.problems import Problem
from esp.errors import InputError
from esp.model.segment import Group
from esp.model.segment_json import parse_rule, rule_json
from esp.ports.api import Named

#: A leaf's key and what it names. Snapshots have no name outside and keep their number.
_KEYS: Final = {"list": Named.LIST, "segment": Named.SEGMENT, "tag": Named.TAG, "topic": Named.TOPIC,
                "campaigns": Named.CAMPAIGN}
_DEEPEST: Final = 20


def _named(value: Any, depth: int, visit: Callable[[Named, Any], Any]) -> Any:
    """``value`` with every name of _KEYS put through ``visit``."""
    if depth > _DEEPEST:
        raise InputError("The rule cannot be used: it is nested too deeply.")
    if isinstance(value, list):
        return [_named(one, depth + 1, visit) for one in value]
    if not isinstance(value, Mapping):
        return value
    found: dict[str, Any] = {}
    for key, one in value.items():
        kind = _KEYS.get(key)
        if kind is None:
            found[key] = _named(one, depth + 1, visit)
        elif isinstance(one, list):
            found[key] = [visit(kind, each) for each in one]
        else:
            found[key] = visit(kind, one)
    return found


async def rule_in(call: Call, rule: Mapping[str, Any], field: str = "rule") -> Group:
    """A client's rule. Raises Problem that names each bad place."""
    wanted: dict[Named, set[str]] = {}

    def gather(kind: Named, name: Any) -> Any:
        if isinstance(name, str):
            wanted.setdefault(kind, set()).add(name)
        return name

    _named(rule, 0, gather)
    known = {kind: await call.app.store.api.numbers(call.workspace_id, kind, sorted(names))
             for kind, names in wanted.items()}
    problems: list[tuple[str, str]] = []

    def number(kind: Named, name: Any) -> Any:
        if not isinstance(name, str):
            problems.append((field, f"A {kind} is named by its {'name' if kind is Named.TAG else 'id'}, as text."))
            return 1
        if name not in known[kind]:
            problems.append((field, f"There is no {kind} {name[:80]!r}."))
            return 1
        return known[kind][name]

    inside = _named(rule, 0, number)
    try:
        parsed = parse_rule(inside)
    except InputError as error:
        problems += [(f"{field}.{path}".rstrip("."), words) for path, words in error.problems.items()] or [
            (field, str(error))]
    if problems:
        raise Problem("invalid", f"{problems[0][0]}: {problems[0][1]}", problems)
    return parsed


async def rules_out(call: Call, rules: list[Group]) -> list[dict[str, Any]]:
    """Stored rules as clients read and write them; what was deleted since is named by ''."""
    plain = [rule_json(rule) for rule in rules]
    wanted: dict[Named, set[int]] = {}

    def gather(kind: Named, number: Any) -> Any:
        wanted.setdefault(kind, set()).add(number)
        return number

    _named(plain, 0, gather)
    known = {kind: await call.names(kind, sorted(numbers)) for kind, numbers in wanted.items()}
    found: list[dict[str, Any]] = _named(plain, 0, lambda kind, number: known[kind].get(number, ""))
    return found
