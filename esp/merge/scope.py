"""The names a template sees."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from esp.merge.expressions import Scope
from esp.merge.parse import Tree

STANDARD_FIELDS: Final = frozenset(
    {"email", "first_name", "last_name", "city", "country", "language", "time_zone", "birth_date", "fields"}
)
NAMESPACES: Final[dict[str, frozenset[str]]] = {
    "campaign": frozenset({"name"}),
    "list": frozenset({"name"}),
    "workspace": frozenset({"name", "postal_address"}),
}
PLAIN_NAMES: Final = frozenset({"unsubscribe_url", "view_url", "preferences_url"})


def contact_scope(address: str, fields: Mapping[str, Any]) -> Scope:
    """``contact`` with its standard fields and its own; own ones also as ``contact.fields.x``."""
    own = fields.get("fields")
    contact: dict[str, Any] = {**own, **fields} if isinstance(own, Mapping) else dict(fields)
    contact["fields"] = dict(own) if isinstance(own, Mapping) else dict(fields)
    contact["email"] = address
    return {"contact": contact}


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most like ``name``, or empty."""
    return next(iter(get_close_matches(name, sorted(known), n=1, cutoff=0.6)), "")


def references(body: Tree) -> Iterable[tuple[str, str, bool]]:
    """Every ``(root, attribute, has a default)`` that a template reads; the attribute is empty for a bare name."""
    for node in body:
        if isinstance(node, str):
            continue
        match node[0]:
            case "o":
                yield from _reads(node[1], False)
            case "set":
                yield from _reads(node[2], False)
            case "if":
                for test, branch in node[1]:
                    # Asking whether a field is there is as good as a default.
                    yield from _reads(test, True)
                    yield from references(branch)
                yield from references(node[2])
            case "for":
                yield from _reads(node[2], True)
                if node[3] is not None:
                    yield from _reads(node[3], True)
                yield from references(node[4])
                yield from references(node[5])


def _reads(tree: Tree, defaulted: bool) -> Iterable[tuple[str, str, bool]]:
    match tree[0]:
        case "c":
            return
        case "n":
            yield tree[1], "", defaulted
        case "g":
            yield from _attribute(tree, defaulted)
        case "f" | "t":
            yield from _reads(tree[2], defaulted or tree[1] in ("default", "d", "defined", "undefined", "none"))
            for argument in [*tree[3], *(value for _, value in tree[4])]:
                yield from _reads(argument, defaulted)
        case "cmp":
            for part in [tree[1], *(part for _, part in tree[2])]:
                yield from _reads(part, defaulted)
        case "~" | "list":
            for part in tree[1]:
                yield from _reads(part, defaulted)
        case "dict":
            for key, value in tree[1]:
                yield from _reads(key, defaulted)
                yield from _reads(value, defaulted)
        case _:
            for part in tree[1:]:
                if isinstance(part, list):
                    yield from _reads(part, defaulted)


def _attribute(tree: Tree, defaulted: bool) -> Iterable[tuple[str, str, bool]]:
    box, key = tree[1], tree[2]
    name = key[1] if key[0] == "c" and isinstance(key[1], str) else ""
    if box[0] == "n":
        yield box[1], name, defaulted
    elif box[0] == "g" and box[1] == ["n", "contact"] and box[2] == ["c", "fields"] and name:
        yield "contact", name, defaulted
    else:
        yield from _reads(box, defaulted)
    if not name:
        yield from _reads(key, defaulted)


def assigned_names(tree: Any) -> set[str]:
    """Names that the template itself sets, by ``set`` or as a loop's variable."""
    names: set[str] = set()
    for node in tree:
        if not isinstance(node, list) or not node:
            continue
        match node[0]:
            case "set":
                names.add(node[1])
            case "for":
                names.update(node[1])
                names.add("loop")
                names |= assigned_names(node[4]) | assigned_names(node[5])
            case "if":
                for _, body in node[1]:
                    names |= assigned_names(body)
                names |= assigned_names(node[2])
            case _:
                pass
    return names


def names_in(tree: Any) -> set[str]:
    """Every bare name that an expression of ``tree`` may read; one too many does no harm."""
    if not isinstance(tree, list):
        return set()
    found: set[str] = set().union(*(names_in(part) for part in tree))
    if len(tree) == 2 and tree[0] == "n" and isinstance(tree[1], str):
        found.add(tree[1])
    return found
