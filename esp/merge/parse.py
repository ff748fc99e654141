"""Merge language in, plain tree out: Jinja2's own parser, then an allow-list of what a marketer may write.

The tree is lists and strings only, so that it can be frozen as JSON and never depends on a later version of Jinja2.
Nothing of Jinja2 runs at sending time: no generated code, no attribute of any Python object, nothing to escape from.
"""

from collections.abc import Iterable
from typing import Any, Final

from jinja2 import Environment, TemplateSyntaxError, nodes

from esp.errors import MerpatiError
from esp.merge.filters import FILTERS, TESTS

MAXIMUM_SOURCE: Final = 1_000_000  # characters of one template
MAXIMUM_DEPTH: Final = 40
RESERVED: Final = frozenset({"contact", "campaign", "list", "workspace", "unsubscribe_url", "view_url", "loop"})

Tree = list[Any]

# trim_blocks: a line that holds only {% if %} or {% for %} leaves no empty line in the mail.
ENVIRONMENT: Final = Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False)  # noqa: S701
VERBATIM: Final = Environment(keep_trailing_newline=True, autoescape=False)  # noqa: S701

_BINARY: Final = {nodes.Add: "+", nodes.Sub: "-", nodes.Mul: "*", nodes.Div: "/", nodes.FloorDiv: "//", nodes.Mod: "%"}
_COMPARE: Final = frozenset({"eq", "ne", "lt", "lteq", "gt", "gteq", "in", "notin"})
_NAMES: Final = {
    nodes.Call: "a function call", nodes.Include: "include", nodes.Import: "import", nodes.FromImport: "import",
    nodes.Extends: "extends", nodes.Block: "block", nodes.Macro: "macro", nodes.CallBlock: "call",
    nodes.FilterBlock: "a filter block", nodes.AssignBlock: "a set block", nodes.Pow: "the power sign **",
    nodes.With: "with", nodes.Slice: "a slice", nodes.NSRef: "a namespace",
    nodes.ScopedEvalContextModifier: "autoescape",
}  # fmt: skip


class MergeSyntaxError(MerpatiError):
    """The template is not in the merge language; ``line`` counts from one."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def parse(source: str, environment: Environment = ENVIRONMENT) -> Tree:
    """The tree of ``source``; raises MergeSyntaxError with a line and words for the author."""
    if len(source) > MAXIMUM_SOURCE:
        raise MergeSyntaxError(f"This text is longer than {MAXIMUM_SOURCE:,} characters.", 1)
    try:
        template = environment.parse(source)
        return _body(template.body, 0)
    except TemplateSyntaxError as error:
        raise MergeSyntaxError(_plain_words(error.message or ""), error.lineno) from None
    except RecursionError:
        raise MergeSyntaxError("The merge fields are nested too deeply.", 1) from None
    except (ValueError, OverflowError, MemoryError):
        raise MergeSyntaxError("A number in a merge field is too long.", 1) from None


def _plain_words(message: str) -> str:
    if "unexpected end of template" in message.lower() or "Unexpected end of template" in message:
        return "A {% if %} or {% for %} is not closed: " + message
    if "unknown tag" in message:
        return message.split(".")[0] + ". The merge language knows if, for and set."
    return message[:1].upper() + message[1:]


def _refuse(node: nodes.Node, what: str = "") -> MergeSyntaxError:
    name = what or _NAMES.get(type(node), type(node).__name__.lower())
    return MergeSyntaxError(f"The merge language does not know {name}.", node.lineno or 1)


def _body(body: list[nodes.Node], depth: int) -> Tree:
    if depth > MAXIMUM_DEPTH:
        raise MergeSyntaxError("The blocks are nested too deeply.", body[0].lineno if body else 1)
    tree: Tree = []
    for node in body:
        match node:
            case nodes.Output():
                for part in node.nodes:
                    if isinstance(part, nodes.TemplateData):
                        tree.append(part.data)
                    else:
                        tree.append(["o", _expression(part, 0)])
            case nodes.If():
                branches = [[_expression(node.test, 0), _body(node.body, depth + 1)]]
                branches += [[_expression(e.test, 0), _body(e.body, depth + 1)] for e in node.elif_]
                tree.append(["if", branches, _body(node.else_, depth + 1)])
            case nodes.For():
                if node.recursive:
                    raise _refuse(node, "a recursive loop")
                test = _expression(node.test, 0) if node.test else None
                body_tree, else_tree = _body(node.body, depth + 1), _body(node.else_, depth + 1)
                tree.append(["for", _targets(node.target), _expression(node.iter, 0), test, body_tree, else_tree])
            case nodes.Assign():
                names = _targets(node.target)
                if len(names) != 1:
                    raise _refuse(node, "setting several names at once")
                tree.append(["set", names[0], _expression(node.node, 0)])
            case _:
                raise _refuse(node)
    return tree


def _targets(target: nodes.Node) -> list[str]:
    items = target.items if isinstance(target, nodes.Tuple) else [target]
    names: list[str] = []
    for item in items:
        if not isinstance(item, nodes.Name) or item.name.startswith("_"):
            raise _refuse(target, "this kind of assignment")
        if item.name in RESERVED:
            raise MergeSyntaxError(f"{item.name!r} is a name of Merpati's own; choose another.", target.lineno)
        names.append(item.name)
    return names


def _expression(node: nodes.Node, depth: int) -> Tree:
    if depth > MAXIMUM_DEPTH:
        raise MergeSyntaxError("The expression is nested too deeply.", node.lineno or 1)
    down = depth + 1
    match node:
        case nodes.Const():
            return ["c", _constant(node)]
        case nodes.Name():
            if node.name.startswith("_"):
                raise _refuse(node, f"names that start with an underscore ({node.name})")
            return ["n", node.name]
        case nodes.Getattr():
            if node.attr.startswith("_"):
                raise _refuse(node, f"names that start with an underscore ({node.attr})")
            return ["g", _expression(node.node, down), ["c", node.attr]]
        case nodes.Getitem():
            return ["g", _expression(node.node, down), _expression(node.arg, down)]
        case nodes.Filter():
            if node.name not in FILTERS or node.node is None or node.dyn_args or node.dyn_kwargs:
                raise MergeSyntaxError(
                    f"There is no filter {node.name!r}. Known: {', '.join(sorted(FILTERS))}.", node.lineno
                )
            return ["f", node.name, _expression(node.node, down), *_arguments(node.args, node.kwargs, down)]
        case nodes.Test():
            if node.name not in TESTS or node.dyn_args or node.dyn_kwargs:
                raise MergeSyntaxError(
                    f"There is no test {node.name!r}. Known: {', '.join(sorted(TESTS))}.", node.lineno
                )
            return ["t", node.name, _expression(node.node, down), *_arguments(node.args, node.kwargs, down)]
        case nodes.And() | nodes.Or():
            kind = "and" if isinstance(node, nodes.And) else "or"
            return [kind, _expression(node.left, down), _expression(node.right, down)]
        case nodes.Not():
            return ["not", _expression(node.node, down)]
        case nodes.Neg():
            return ["neg", _expression(node.node, down)]
        case nodes.Pos():
            return _expression(node.node, down)
        case nodes.CondExpr():
            other = _expression(node.expr2, down) if node.expr2 is not None else ["c", None]
            return ["?", _expression(node.test, down), _expression(node.expr1, down), other]
        case nodes.Compare():
            if any(operand.op not in _COMPARE for operand in node.ops):
                raise _refuse(node)
            return ["cmp", _expression(node.expr, down), [[o.op, _expression(o.expr, down)] for o in node.ops]]
        case nodes.Concat():
            return ["~", [_expression(part, down) for part in node.nodes]]
        case nodes.List() | nodes.Tuple():
            return ["list", [_expression(item, down) for item in node.items]]
        case nodes.Dict():
            return ["dict", [[_expression(p.key, down), _expression(p.value, down)] for p in node.items]]
        case nodes.BinExpr() if type(node) in _BINARY:
            return ["bin", _BINARY[type(node)], _expression(node.left, down), _expression(node.right, down)]
        case _:
            raise _refuse(node)


def _constant(node: nodes.Const) -> str | int | float | bool | None:
    value = node.value
    if isinstance(value, (int, float)) and not isinstance(value, bool) and not abs(value) < 1e15:
        raise MergeSyntaxError("A number in a merge field is too large.", node.lineno)
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise _refuse(node, "this kind of constant")


def _arguments(args: Iterable[nodes.Node], kwargs: Iterable[Any], depth: int) -> list[Any]:
    return [[_expression(a, depth) for a in args], [[k.key, _expression(k.value, depth)] for k in kwargs]]
