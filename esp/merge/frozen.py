"""The frozen form of a variant: what ``CompiledVariant.payload`` holds. Written by compose, read by render.

Places for what only sending knows (the token's URL of a link, the open pixel) are marked in literals by private-use
characters, which the author's text is cleaned of first.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from esp.merge.parse import Tree

VERSION: Final = 1
OPEN_SLOT: Final = "\ue002open\ue003"
SLOT: Final = re.compile("\ue002([a-z]+|[0-9]+)\ue003")
PRIVATE: Final = re.compile("[\ue000-\ue005]")


def link_slot(index: int) -> str:
    """The mark that stands for the tracked URL of link ``index``."""
    return f"\ue002{index}\ue003"


@dataclass(frozen=True, slots=True)
class Frozen:
    """Trees of one variant. ``html`` is None for a text-only mail; ``links`` maps a link's index to its URL's tree.

    ``facts`` are the campaign's own names for templates: ``{"campaign": {...}, "workspace": {...}, "list": {...}}``.
    """

    subject: Tree
    preheader: Tree
    text: Tree
    html: Tree | None
    links: dict[int, Tree] = field(default_factory=dict)
    facts: dict[str, dict[str, str]] = field(default_factory=dict)

    def dump(self) -> bytes:
        """JSON octets, the same for the same content."""
        content = {name: getattr(self, name) for name in self.__slots__}
        return orjson.dumps({"version": VERSION, **content}, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS)

    @classmethod
    def load(cls, payload: bytes) -> "Frozen":
        """Read what ``dump`` wrote; raises ValueError for another version."""
        data: dict[str, Any] = orjson.loads(payload)
        if data.pop("version", None) != VERSION:
            raise ValueError("this variant was frozen by another version of Merpati; freeze the campaign anew")
        data["links"] = {int(index): tree for index, tree in data["links"].items()}
        return cls(**data)


def expand_slots(tree: Tree, replacements: dict[str, Tree]) -> Tree:
    """``tree`` with every slot in its literals replaced by the nodes given for it (none for an unknown slot)."""
    result: Tree = []
    for node in tree:
        if isinstance(node, str):
            at = 0
            for found in SLOT.finditer(node):
                result.append(node[at : found.start()])
                result.extend(replacements.get(found[1], ()))
                at = found.end()
            result.append(node[at:])
        elif node[0] == "if":
            branches = [[test, expand_slots(body, replacements)] for test, body in node[1]]
            result.append(["if", branches, expand_slots(node[2], replacements)])
        elif node[0] == "for":
            bodies = [expand_slots(body, replacements) for body in node[4:6]]
            result.append([*node[:4], *bodies])
        else:
            result.append(node)
    return result
