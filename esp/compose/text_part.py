"""The plain-text part of a mail, made from its HTML token by token.

No tree is built, so merge fields keep their order even where HTML would move them, and a link's slot is the same in
both parts: a click from the text part counts for the same link.
"""

import html as html_entities
import re
from typing import Final

import turbohtml

from esp.compose.shield import WORD, Shield, tokens

_BLOCKS: Final = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "center",
        "dd",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figure",
        "footer",
        "form",
        "header",
        "hr",
        "main",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "table",
        "tbody",
        "tr",
        "ul",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "li",
        "title",
    ]
)
_APART: Final = frozenset(["p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "blockquote"])
_SILENT: Final = frozenset(["style", "script", "head", "title", "template", "noscript", "object", "textarea", "select"])
_VOID: Final = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
)
_HIDDEN: Final = re.compile(r"display\s*:\s*none|mso-hide\s*:\s*all", re.IGNORECASE)
_SLOT: Final = re.compile("\ue002[0-9]+\ue003")
# Letters that only space out a preheader.
_PADDING: Final = re.compile("[\u034f\u200b\u200c\ufeff\u00ad]+")


class _Writer:
    def __init__(self) -> None:
        self.out: list[str] = []

    def text(self, text: str) -> None:
        text = re.sub(r"[ \t\r\n\f\xa0]+", " ", text)
        if not self.out or self.out[-1].endswith((" ", "\n")):
            text = text.lstrip(" ")
        if text:
            self.out.append(text)

    def line_end(self, count: int) -> None:
        joined = "".join(self.out[-3:])
        have = len(joined) - len(joined.rstrip("\n"))
        if self.out and have < count:
            self.out.append("\n" * (count - have))


def text_from_html(html: str, shield: Shield) -> str:
    """Plain text of ``html`` (merge fields covered, links as slots), lines not wrapped, ended by one line end."""
    writer = _Writer()
    silent: list[str] = []
    link: list[tuple[str, int]] = []
    for token, source in tokens(html):
        if token is None:
            continue
        tag = token.tag or ""
        if token.type == turbohtml.TokenType.COMMENT:
            word = WORD.fullmatch((token.data or "").strip())
            if word and not silent:
                writer.out.append(word[0])
        elif token.type == turbohtml.TokenType.START_TAG:
            if silent:
                if tag == silent[0] and tag not in _VOID:
                    silent.append(tag)
            elif tag not in _VOID and (tag in _SILENT or _HIDDEN.search(token.attr("style") or "")):
                silent = [tag]
            else:
                _start(writer, token, tag, link)
        elif token.type == turbohtml.TokenType.END_TAG:
            if silent:
                if tag == silent[0]:
                    silent.pop()
            else:
                _end(writer, tag, link)
        elif token.type == turbohtml.TokenType.TEXT and not silent:
            writer.text(_PADDING.sub("", html_entities.unescape(source)))
    return _tidy("".join(writer.out), shield)


def _start(writer: _Writer, token: turbohtml.Token, tag: str, link: list[tuple[str, int]]) -> None:
    if tag == "br":
        writer.out.append("\n")
    elif tag == "hr":
        writer.line_end(1)
        writer.out.append("-" * 20 + "\n")
    elif tag == "img":
        writer.text(token.attr("alt") or "")
    elif tag == "a":
        link[:] = [(token.attr("href") or "", len(writer.out))]
    elif tag in ("td", "th"):
        writer.text(" ")
    elif tag in _BLOCKS:
        writer.line_end(2 if tag in _APART else 1)
        if tag == "li":
            writer.out.append("- ")


def _end(writer: _Writer, tag: str, link: list[tuple[str, int]]) -> None:
    if tag == "a" and link:
        href, at = link.pop()
        label = "".join(writer.out[at:]).strip()
        if _SLOT.fullmatch(href) or WORD.fullmatch(href):
            writer.out.append(f" <{href}>" if label else f"<{href}>")
        elif href.startswith("mailto:") and label and label not in href:
            writer.out.append(f" <{href[7:]}>")
    elif tag in _BLOCKS:
        writer.line_end(2 if tag in _APART else 1)


def _tidy(text: str, shield: Shield) -> str:
    lines = [re.sub(r" {2,}", " ", line).strip(" ") for line in text.split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n") + "\n"
