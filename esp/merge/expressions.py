"""From an expression's tree to a function that gives its value for one recipient, with every cost counted."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from esp.merge.budget import TOO_LONG, Budget, MergeLimitError
from esp.merge.filters import FILTERS, MAXIMUM_TEXT, TESTS, number, to_text
from esp.merge.parse import Tree

_SHORT: Final = 256

Scope = dict[str, Any]
Expression = Callable[[Scope, Budget], Any]


def part_of(box: Any, key: Any) -> Any:
    """``box[key]``, or None where there is no such thing."""
    if isinstance(box, Mapping):
        return box.get(key) if isinstance(key, (str, int, float)) else None
    if isinstance(box, (list, str)) and isinstance(key, int) and -len(box) <= key < len(box):
        return box[key]
    return None


def _joined(left: str, right: str) -> str:
    if len(left) + len(right) > MAXIMUM_TEXT:
        raise MergeLimitError(TOO_LONG)
    return left + right


def _arithmetic(operator: str, left: Any, right: Any) -> Any:
    if operator == "+" and (isinstance(left, str) or isinstance(right, str)):
        return _joined(to_text(left), to_text(right))
    if operator == "*" and isinstance(left, str) and isinstance(right, int):
        if len(left) * right > MAXIMUM_TEXT:
            raise MergeLimitError(TOO_LONG)
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
                raise MergeLimitError(TOO_LONG)
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
        return lambda scope, budget: part_of(box_of(scope, budget), key)
    box, key_of = compile_expression(tree[1]), compile_expression(key_tree)
    return lambda scope, budget: part_of(box(scope, budget), key_of(scope, budget))


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
