"""From a template's tree to a function that writes one recipient's text.

Literals are encoded when the tree is compiled, values when it runs: ``literal`` and ``value`` say how, so the same tree
gives quoted-printable octets for the wire and plain text for a page.

A template is a row of segments: what is the same for everybody is picked, and each personal part, however often it
stands in the row, is evaluated and encoded once a recipient. ``set`` may change what a name means to what comes after
it, so a part that reads such a name counts as another one behind each ``set``. The insides of branches and loops go the
other road, each node in its turn.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, Generic, TypeVar

from esp.merge.budget import Budget, MergeLimitError
from esp.merge.expressions import Scope, compile_expression, part_of
from esp.merge.filters import to_text
from esp.merge.parse import Tree
from esp.merge.scope import assigned_names, names_in

Piece = TypeVar("Piece", str, bytes)


class Coding(Generic[Piece]):
    """How text becomes pieces: ``literal`` for the author's own text, ``value`` for what a recipient's data prints."""

    __slots__ = ("literal", "value")

    def __init__(self, literal: Callable[[str], Piece], value: Callable[[str], Piece]) -> None:
        self.literal: Callable[[str], Piece] = literal
        self.value: Callable[[str], Piece] = value


Step = Callable[[Scope, Budget, list[Any]], None]


class Program(Generic[Piece]):
    """A compiled template: ``run`` appends the pieces of one recipient's text to a list.

    ``facts`` are names whose values are the same for everybody: what reads nothing else is run once, here.
    ``in_turn`` takes the general road where the shorter one would do; only a test that compares the two asks for it.
    """

    __slots__ = ("_body",)

    def __init__(
        self, tree: Tree, coding: Coding[Piece], in_turn: bool = False, facts: Mapping[str, Any] | None = None
    ) -> None:
        self._body = _compile_body(tree, coding) if in_turn else _compile_segments(tree, coding, facts or {})

    def run(self, scope: Scope, out: list[Piece]) -> None:
        """Append to ``out``; ``scope`` is changed by ``set``. Raises MergeLimitError."""
        self._body(scope, Budget(), out)


def _sets(tree: Any) -> bool:
    """Whether a ``set`` may change what a name means to what comes after it."""
    return isinstance(tree, list) and (tree[:1] == ["set"] or any(_sets(part) for part in tree))


def _same_for_all(node: Tree, coding: Coding[Any], facts: Mapping[str, Any], changing: set[str]) -> Any:
    """The piece that ``node`` makes for everybody, or None where it is somebody's own or must be run in its turn."""
    names = names_in(node)
    if node[0] not in ("o", "if") or _sets(node) or not names or names & changing or not names <= facts.keys():
        return None
    made: list[Any] = []
    try:
        _compile_node(node, coding)(dict(facts), Budget(), made)
    except MergeLimitError:
        return None
    return coding.literal("").join(made)


def _compile_segments(tree: Tree, coding: Coding[Any], facts: Mapping[str, Any]) -> Step:
    literals: list[Any] = []
    personal: dict[tuple[str, int], int] = {}  # a node, spelt out, to its number among those that differ
    nodes: list[tuple[Tree, int]] = []  # in the order in which they are run, with the number of what they make
    times: list[int] = []
    row: list[tuple[bool, int]] = []
    changing, turn = assigned_names(tree), 0
    text = ""
    for node in (*tree, None):
        if isinstance(node, str):
            text += node
            continue
        if text:
            literals.append(coding.literal(text))
            row.append((False, len(literals) - 1))
            text = ""
        if node is None:
            break
        if node[0] == "set":
            turn += 1
            nodes.append((node, -1))
            continue
        same = _same_for_all(node, coding, facts, changing)
        if same is not None:
            literals.append(same)
            row.append((False, len(literals) - 1))
            continue
        sets = _sets(node)
        turn += sets
        key = (repr(node), turn if sets or names_in(node) & changing else 0)
        number = personal.setdefault(key, len(times))
        if number == len(times):
            nodes.append((node, number))
            times.append(0)
        times[number] += 1
        row.append((True, number))
    # How often what is made stands in the row again; a ``set`` makes nothing.
    steps = [(_compile_node(node, coding), times[number] - 1 if number >= 0 else -1) for node, number in nodes]
    empty = coding.literal("")
    shared = (empty, *literals)
    # Two of the empty one, for an itemgetter of fewer gives no tuple.
    pick: Callable[[Sequence[Any]], tuple[Any, ...]] = itemgetter(
        0, 0, *(len(shared) + number if own else 1 + number for own, number in row)
    )

    def run(scope: Scope, budget: Budget, out: list[Any]) -> None:
        made: list[Any] = []
        table = [*shared]
        for step, repeated in steps:
            before = budget.output
            step(scope, budget, made)
            if repeated < 0:
                continue
            if repeated:
                budget.write((before - budget.output) * repeated)
            table.append(made[0] if len(made) == 1 else empty.join(made))
            made.clear()
        out.extend(pick(table))

    return run


def _compile_body(tree: Tree, coding: Coding[Any]) -> Step:
    # Pairs of a literal and what follows it: a mail is literals with values between them.
    pairs: list[tuple[Any, Step]] = []
    text = ""
    for node in tree:
        if isinstance(node, str):
            text += node
        else:
            pairs.append((coding.literal(text), _compile_node(node, coding)))
            text = ""
    rest = coding.literal(text)

    def run(scope: Scope, budget: Budget, out: list[Any]) -> None:
        append = out.append
        for literal, step in pairs:
            append(literal)
            step(scope, budget, out)
        append(rest)

    return run


def _compile_node(node: Tree, coding: Coding[Any]) -> Step:
    match node[0]:
        case "o":
            return _compile_output(node, coding)
        case "ready":
            ready = node[1]

            def append_ready(scope: Scope, budget: Budget, out: list[Any]) -> None:
                out.append(scope[ready])

            return append_ready
        case "set":
            name, value = node[1], compile_expression(node[2])

            def assign(scope: Scope, budget: Budget, out: list[Any]) -> None:
                scope[name] = value(scope, budget)

            return assign
        case "if":
            branches = [(compile_expression(test), _compile_body(body, coding)) for test, body in node[1]]
            otherwise = _compile_body(node[2], coding)

            def choose(scope: Scope, budget: Budget, out: list[Any]) -> None:
                for test, body in branches:
                    if test(scope, budget):
                        body(scope, budget, out)
                        return
                otherwise(scope, budget, out)

            return choose
        case "for":
            return _compile_loop(node, coding)
        case _:
            raise ValueError(f"unknown node {node[0]!r}")


def _compile_output(node: Tree, coding: Coding[Any]) -> Step:
    expression, encode = compile_expression(node[1]), coding.value

    def write(scope: Scope, budget: Budget, out: list[Any]) -> None:
        value = expression(scope, budget)
        if value is None or value == "":
            return
        piece = encode(value if isinstance(value, str) else to_text(value))
        budget.write(len(piece))
        out.append(piece)

    return write


def _size(tree: Any) -> int:
    return 1 + sum(_size(part) for part in tree if isinstance(part, list)) if isinstance(tree, list) else 0


def _compile_loop(node: Tree, coding: Coding[Any]) -> Step:
    names, iterable = node[1], compile_expression(node[2])
    test = compile_expression(node[3]) if node[3] is not None else None
    body, otherwise = _compile_body(node[4], coding), _compile_body(node[5], coding)
    cost = _size(node[4])
    literal = sum(len(part) for part in node[4] if isinstance(part, str))

    def bind(scope: Scope, item: Any) -> Scope:
        inner = dict(scope)
        if len(names) == 1:
            inner[names[0]] = item
        else:
            parts = item if isinstance(item, list) else []
            inner.update((name, part_of(parts, at)) for at, name in enumerate(names))
        return inner

    def loop(scope: Scope, budget: Budget, out: list[Any]) -> None:
        items = iterable(scope, budget)
        items = list(items) if isinstance(items, (list, dict)) else []
        scopes = []
        for item in items:
            budget.loop(cost)
            inner = bind(scope, item)
            if test is None or test(inner, budget):
                scopes.append(inner)
        total = len(scopes)
        for at, inner in enumerate(scopes):
            inner["loop"] = {
                "index": at + 1, "index0": at, "first": at == 0, "last": at == total - 1, "length": total,
                "revindex": total - at, "revindex0": total - at - 1,
            }  # fmt: skip
            budget.write(literal)
            body(inner, budget, out)
        if not total:
            otherwise(scope, budget, out)

    return loop


def plain_text(tree: Tree, scope: Scope) -> str:
    """The text of ``tree`` for ``scope`` as it is, nothing escaped: subjects, preheaders, previews of text."""
    out: list[str] = []
    Program(tree, VERBATIM_CODING).run(scope, out)
    return "".join(out)


VERBATIM_CODING: Final = Coding[str](str, str)
