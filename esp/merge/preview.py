"""A frozen variant as one recipient would read it, in plain strings: for previews and for pages."""

from typing import Final

from markupsafe import escape

from esp.merge.evaluate import Coding, Program, plain_text
from esp.merge.frozen import Frozen, expand_slots
from esp.merge.links import fill_url
from esp.merge.parse import Tree
from esp.merge.scope import PLAIN_NAMES, contact_scope
from esp.model.content import CompiledVariant, Recipient
from esp.wire import headers as wire


def text_value(value: str) -> str:
    """``value`` with its line ends as LF, one by one as the wire's coding ends them, and without NUL."""
    return value.replace("\x00", "").replace("\r\n", "\n").replace("\r", "\n")


def html_value(value: str) -> str:
    """``value`` for HTML text and quoted attributes."""
    return str(escape(text_value(value)))


PAGE_HTML: Final = Coding[str](str, html_value)
PAGE_TEXT: Final = Coding[str](str, text_value)


def render_preview(compiled: CompiledVariant, recipient: Recipient, list_name: str = "") -> tuple[str, str, str, str]:
    """``(subject, preheader, html, text)`` as this recipient would read them; links lead where they lead, untracked.

    A text-only mail has empty HTML. The unsubscribe and view links are ``#``. Raises MergeLimitError.
    """
    frozen = Frozen.load(compiled.payload)
    scope = contact_scope(recipient.address, recipient.fields)
    scope.update({**frozen.facts, "list": {"name": list_name}, **dict.fromkeys(PLAIN_NAMES, "#")})
    links: dict[str, Tree] = {}
    for index, tree in frozen.links.items():
        scope[f"_link_{index}"] = fill_url(tree, scope)
        links[str(index)] = [["o", ["n", f"_link_{index}"]]]
    html: list[str] = []
    if frozen.html is not None:
        Program(expand_slots(frozen.html, links), PAGE_HTML).run(dict(scope), html)
    subject = wire.clean(plain_text(frozen.subject, dict(scope)))
    preheader = wire.clean(plain_text(frozen.preheader, dict(scope)))
    text: list[str] = []
    Program(expand_slots(frozen.text, links), PAGE_TEXT).run(dict(scope), text)
    return subject, preheader, "".join(html), "".join(text)
