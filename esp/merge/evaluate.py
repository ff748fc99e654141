"""From a tree to a function that writes one recipient's text, with every cost counted.

Literals are encoded when the tree is compiled, values when it runs: ``literal`` and ``value`` say how, so the same tree
gives quoted-printable octets for the wire and plain text for a page. Bounds are counts of work, not of time: the same
template either works for everyone with the same data or for no one, on a fast machine and on a slow one.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

from esp.errors import MerpatiError
from esp.merge.filters import FILTERS, MAXIMUM_TEXT, TESTS, number, to_text
from esp.merge.parse import Tree

MAXIMUM_STEPS: Final = 20_000  # nodes visited inside loops, per template and recipient
MAXIMUM_ITERATIONS: Final = 2_000
MAXIMUM_MADE: Final = 4_000_000  # characters made by expressions
MAXIMUM_OUTPUT: Final = 1_000_000  # characters or octets written by values

_SHORT: Final = 256

Scope = dict[str, Any]


class MergeLimitError(MerpatiError):
    """The template does more work than one message may cost. Nothing was sent from it."""


class Budget:
    """What one rendering may still cost."""

    __slots__ = ("iterations", "made", "output", "steps")

    def __init__(self) -> None:
        self.steps = MAXIMUM_STEPS
        self.iterations = MAXIMUM_ITERATIONS
        self.made = MAXIMUM_MADE
        self.output = MAXIMUM_OUTPUT

    def loop(self, cost: int) -> None:
        """One more turn of a loop whose body has ``cost`` nodes."""
        self.iterations -= 1
        self.steps -= cost
        if self.iterations < 0 or self.steps < 0:
            raise MergeLimitError(
                f"The loops of the template run for too long (over {MAXIMUM_ITERATIONS:,} turns in all)."
            )

    def spend(self, value: Any) -> None:
        """Count the work of reading ``value`` through once."""
        if isinstance(value, (str, list, dict)):
            self.made -= len(value)
            if self.made < 0:
                raise MergeLimitError("The merge fields of the template make too much text.")

    def make(self, value: Any) -> Any:
        """Count ``value`` as made; text that is too long is refused, so that nobody gets half of it."""
        if isinstance(value, str) and len(value) > MAXIMUM_TEXT:
            raise MergeLimitError(_TOO_LONG)
        self.spend(value)
        return value

    def write(self, size: int) -> None:
        self.output -= size
        if self.output < 0:
            raise MergeLimitError(f"The message gets longer than {MAXIMUM_OUTPUT:,} characters.")


Expression = Callable[[Scope, Budget], Any]
Piece = TypeVar("Piece", str, bytes)


def _size(tree: Any) -> int:
    return 1 + sum(_size(part) for part in tree if isinstance(part, list)) if isinstance(tree, list) else 0


def _get(box: Any, key: Any) -> Any:
    if isinstance(box, Mapping):
        return box.get(key) if isinstance(key, (str, int, float)) else None
    if isinstance(box, (list, str)) and isinstance(key, int) and -len(box) <= key < len(box):
        return box[key]
    return None


_TOO_LONG: Final = f"A merge field makes text of more than {MAXIMUM_TEXT:,} characters."


def _joined(left: str, right: str) -> str:
    if len(left) + len(right) > MAXIMUM_TEXT:
        raise MergeLimitError(_TOO_LONG)
    return left + right


def _arithmetic(operator: str, left: Any, right: Any) -> Any:
    if operator == "+" and (isinstance(left, str) or isinstance(right, str)):
        return _joined(to_text(left), to_text(right))
    if operator == "*" and isinstance(left, str) and isinstance(right, int):
        if len(left) * right > MAXIMUM_TEXT:
            raise MergeLimitError(_TOO_LONG)
        return left * right
    a, b = number(left), number(right)
    if a is None or b is None:
        return None
    try:
        match operator:
            case "+":
                return number(a + b)
            case "-":
                return number(a - b)
            case "*":
                return number(a * b)
            case "/":
                return number(a / b)
            case "//":
                return number(a // b)
            case _:
                return a % b
    except (ZeroDivisionError, OverflowError):
        return None


def _compare(operator: str, left: Any, right: Any) -> bool:
    try:
        match operator:
            case "eq":
                return bool(left == right)
            case "ne":
                return bool(left != right)
            case "lt":
                return bool(left < right)
            case "lteq":
                return bool(left <= right)
            case "gt":
                return bool(left > right)
            case "gteq":
                return bool(left >= right)
            case "in":
                return TESTS["in"](left, right)
            case _:
                return not TESTS["in"](left, right)
    except TypeError:
        return False


def compile_expression(tree: Tree) -> Expression:
    """A function of scope and budget for one expression. It raises MergeLimitError and nothing else."""
    kind = tree[0]
    match kind:
        case "c":
            constant = tree[1]
            return lambda scope, budget: constant
        case "n":
            name = tree[1]
            return lambda scope, budget: scope.get(name)
        case "g":
            return _compile_get(tree)
        case "f" | "t":
            return _compile_filter(tree)
        case "and" | "or":
            a, b = compile_expression(tree[1]), compile_expression(tree[2])
            if kind == "and":
                return lambda scope, budget: a(scope, budget) and b(scope, budget)
            return lambda scope, budget: a(scope, budget) or b(scope, budget)
        case "not":
            inner = compile_expression(tree[1])
            return lambda scope, budget: not inner(scope, budget)
        case "neg":
            negated = compile_expression(tree[1])
            return lambda scope, budget: _arithmetic("-", 0, negated(scope, budget))
        case "?":
            test, yes, no = (compile_expression(part) for part in tree[1:4])
            return lambda scope, budget: yes(scope, budget) if test(scope, budget) else no(scope, budget)
        case "cmp":
            return _compile_compare(tree)
        case "~":
            parts = [compile_expression(part) for part in tree[1]]
            return _compile_concat(parts)
        case "list":
            items = [_compile_item(item) for item in tree[1]]
            return lambda scope, budget: budget.make([item(scope, budget) for item in items])
        case "dict":
            pairs = [(compile_expression(key), _compile_item(value)) for key, value in tree[1]]
            return lambda scope, budget: budget.make({to_text(k(scope, budget)): v(scope, budget) for k, v in pairs})
        case "bin":
            operator, left, right = tree[1], compile_expression(tree[2]), compile_expression(tree[3])
            return lambda scope, budget: budget.make(_arithmetic(operator, left(scope, budget), right(scope, budget)))
        case _:
            raise ValueError(f"unknown node {kind!r}")


def _compile_concat(parts: list[Expression]) -> Expression:
    def concat(scope: Scope, budget: Budget) -> str:
        made: list[str] = []
        size = 0
        for part in parts:
            made.append(to_text(part(scope, budget)))
            size += len(made[-1])
            if size > MAXIMUM_TEXT:
                raise MergeLimitError(_TOO_LONG)
        text: str = budget.make("".join(made))
        return text

    return concat


def _compile_item(tree: Tree) -> Expression:
    """An item of a list or dict that the author wrote out.

    Lists and dicts may only be nested as they are written, not through names: ``{% set a = [a, a] %}`` twenty times
    over would be a value whose comparison never ends.
    """
    inner = compile_expression(tree)
    if tree[0] in ("list", "dict"):
        return inner

    def scalar(scope: Scope, budget: Budget) -> Any:
        value = inner(scope, budget)
        return None if isinstance(value, (list, dict)) else value

    return scalar


def _compile_get(tree: Tree) -> Expression:
    key_tree = tree[2]
    if key_tree[0] == "c" and isinstance(key_tree[1], str):
        key = key_tree[1]
        if tree[1][0] == "n":
            name = tree[1][1]

            def get_field(scope: Scope, budget: Budget) -> Any:
                box = scope.get(name)
                return box.get(key) if isinstance(box, dict) else None

            return get_field
        box_of = compile_expression(tree[1])
        return lambda scope, budget: _get(box_of(scope, budget), key)
    box, key_of = compile_expression(tree[1]), compile_expression(key_tree)
    return lambda scope, budget: _get(box(scope, budget), key_of(scope, budget))


def _compile_filter(tree: Tree) -> Expression:
    function: Callable[..., Any] = (FILTERS if tree[0] == "f" else TESTS)[tree[1]]
    inner = compile_expression(tree[2])
    args = [compile_expression(arg) for arg in tree[3]]
    kwargs = [(name, compile_expression(value)) for name, value in tree[4]]

    if not kwargs and all(arg[0] == "c" for arg in tree[3]):
        return _constant_filter(function, inner, tuple(arg[1] for arg in tree[3]))

    def apply(scope: Scope, budget: Budget) -> Any:
        value = inner(scope, budget)
        budget.spend(value)
        try:
            result = function(
                value, *[arg(scope, budget) for arg in args], **{name: arg(scope, budget) for name, arg in kwargs}
            )
        except (TypeError, ValueError, OverflowError):
            return None
        return budget.make(result)

    return apply


def _constant_filter(function: Callable[..., Any], inner: Expression, constants: tuple[Any, ...]) -> Expression:
    """The common case, ``contact.first_name | default("friend")``, without evaluating what never changes."""

    def apply(scope: Scope, budget: Budget) -> Any:
        value = inner(scope, budget)
        # Short values are not worth counting: the number of nodes that make them is bounded already.
        if value.__class__ is not str or len(value) > _SHORT:
            budget.spend(value)
        try:
            result = function(value, *constants)
        except (TypeError, ValueError, OverflowError):
            return None
        return result if result.__class__ is str and len(result) <= _SHORT else budget.make(result)

    return apply


def _compile_compare(tree: Tree) -> Expression:
    first = compile_expression(tree[1])
    rest = [(operator, compile_expression(part)) for operator, part in tree[2]]

    def compare(scope: Scope, budget: Budget) -> bool:
        left = first(scope, budget)
        for operator, part in rest:
            right = part(scope, budget)
            budget.spend(right)
            if not _compare(operator, left, right):
                return False
            left = right
        return True

    return compare


class Coding(Generic[Piece]):
    """How text becomes pieces: ``literal`` for the author's own text, ``value`` for what a recipient's data prints."""

    __slots__ = ("literal", "value")

    def __init__(self, literal: Callable[[str], Piece], value: Callable[[str], Piece]) -> None:
        self.literal: Callable[[str], Piece] = literal
        self.value: Callable[[str], Piece] = value


Step = Callable[[Scope, Budget, list[Any]], None]


class Program(Generic[Piece]):
    """A compiled template: ``run`` appends the pieces of one recipient's text to a list."""

    __slots__ = ("_body",)

    def __init__(self, tree: Tree, coding: Coding[Piece]) -> None:
        self._body = _compile_body(tree, coding)

    def run(self, scope: Scope, out: list[Piece]) -> None:
        """Append to ``out``; ``scope`` is changed by ``set``. Raises MergeLimitError."""
        self._body(scope, Budget(), out)


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
            inner.update((name, _get(parts, at)) for at, name in enumerate(names))
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
