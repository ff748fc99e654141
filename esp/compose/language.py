"""The merge language as a marketer meets it: problems in plain words, with lines and the nearest right name."""

from collections.abc import Iterable

from esp.merge.parse import MergeSyntaxError, Tree, parse
from esp.merge.scope import NAMESPACES, PLAIN_NAMES, STANDARD_FIELDS, assigned_names, nearest, references
from esp.model.content import Problem


def read(source: str, where: str, known_fields: frozenset[str]) -> tuple[Tree | None, list[Problem]]:
    """Parse one text of a draft: its tree (None where it cannot be read) and what is wrong with it.

    ``where`` is subject, preheader or body; ``known_fields`` are the workspace's own fields beside the standard ones.
    """
    try:
        tree = parse(source)
    except MergeSyntaxError as error:
        return None, [Problem("error", where, f"Line {error.line}: {error}", error.line)]
    return tree, list(_unknown_names(source, tree, where, known_fields))


def _line_of(source: str, name: str) -> int | None:
    at = source.find(name)
    return source.count("\n", 0, at) + 1 if at >= 0 else None


def _unknown_names(source: str, tree: Tree, where: str, known_fields: frozenset[str]) -> Iterable[Problem]:
    fields = STANDARD_FIELDS | known_fields
    own = assigned_names(tree)
    seen: set[str] = set()
    for root, attribute, defaulted in references(tree):
        if root in own or (root in PLAIN_NAMES and not attribute):
            continue
        if root == "contact":
            if not attribute or attribute in fields:
                continue
            name, hint = f"contact.{attribute}", nearest(attribute, fields)
            hint = f"contact.{hint}" if hint else ""
            level = "warning" if defaulted else "error"
        elif root in NAMESPACES:
            if attribute in NAMESPACES[root]:
                continue
            name, level = (f"{root}.{attribute}" if attribute else root), "error"
            hint = f"{root}.{nearest(attribute, NAMESPACES[root]) or 'name'}"
        else:
            name, level = root, "error"
            hint = f"contact.{root}" if root in fields else nearest(root, fields | PLAIN_NAMES)
            if hint in fields:
                hint = f"contact.{hint}"
        if name in seen:
            continue
        seen.add(name)
        line = _line_of(source, name)
        place = f"Line {line}: " if line else ""
        guess = f" Did you mean {hint}?" if hint else ""
        yield Problem(level, where, f"{place}There is no field {name}.{guess}", line)
