"""A tracked link's URL with its merge fields: parsed once, filled in with percent-encoded values."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from esp.merge.evaluate import Coding, Program
from esp.merge.expressions import Scope
from esp.merge.parse import VERBATIM, Tree, parse
from esp.merge.scope import contact_scope, references


def _percent_encode(value: str) -> str:
    return quote(value[:2000].encode("utf-8", "replace"), safe="")


URL_CODING = Coding[str](str, _percent_encode)


def parse_url(url: str) -> Tree:
    """The tree of a link's URL. An author's own ``urlencode`` is dropped, for every value is percent-encoded anyway."""
    tree = parse(url, VERBATIM)
    return [["o", node[1][2]] if _encodes(node) else node for node in tree]


def _encodes(node: Any) -> bool:
    return isinstance(node, list) and node[0] == "o" and node[1][:2] == ["f", "urlencode"]


def reads_only_contact(tree: Tree) -> bool:
    """Whether a click can fill the URL in later: it reads the contact's fields and no loop variable or ``set`` name."""
    return all(root == "contact" for root, _, _ in references(tree))


def fill_url(tree: Tree, scope: Scope) -> str:
    """The URL for one recipient: every value percent-encoded, so that it cannot add a parameter or leave its place."""
    out: list[str] = []
    Program(tree, URL_CODING).run(scope, out)
    return "".join(out)


def resolve_link(url: str, address: str, fields: Mapping[str, Any]) -> str:
    """Where a click on ``Link.url`` goes for this recipient: what the tracker redirects to.

    ``url`` may hold merge fields (``Link.personal``); ``address`` and ``fields`` are as in ``Recipient``.
    """
    if "{" not in url:
        return url
    return fill_url(parse_url(url), contact_scope(address, fields))
