"""Keep merge fields safe while HTML, MJML and Markdown tools work on the text around them.

HTML5 parsers move stray text out of tables, Markdown escapes quotes, and all of them may read ``{{ a < b }}`` as a tag.
So every merge field becomes one word of private-use characters, statements become comments wherever text may stand, and
at the end the words are put back. What was lost, doubled or put out of order on the way is an error, never a surprise.
"""

import re
from dataclasses import dataclass, field
from typing import Final

import turbohtml
from jinja2 import Environment

from esp.merge.frozen import PRIVATE
from esp.merge.parse import ENVIRONMENT

_OPEN: Final = "\ue000"
_CLOSE: Final = "\ue001"
WORD: Final = re.compile("\ue000([0-9]+)\ue001")
_COMMENTED: Final = re.compile("<!--\\s*(\ue000[0-9]+\ue001)\\s*-->")
_QUOTED: Final = re.compile("%EE%80%80([0-9]+)%EE%80%81", re.IGNORECASE)
_ALONE: Final = re.compile("^[ \t]*(\ue000[0-9]+\ue001)[ \t]*$", re.MULTILINE)


class ShieldError(ValueError):
    """A merge field stood where a tool could not keep it."""


@dataclass(slots=True)
class Shield:
    """The merge fields of one text, by number. Words outside of it are the text's own."""

    fields: list[str] = field(default_factory=list)
    statements: set[int] = field(default_factory=set)

    def _word(self, source: str, statement: bool) -> str:
        number = len(self.fields)
        self.fields.append(source)
        if statement:
            self.statements.add(number)
        return f"{_OPEN}{number}{_CLOSE}"

    def cover(self, source: str, environment: Environment = ENVIRONMENT) -> str:
        """``source`` with every merge field replaced by a word; comments are dropped.

        The source must have been parsed before, so that what comes here is well formed.
        """
        covered: list[str] = []
        inside: list[str] | None = None
        for _, kind, value in environment.lex(PRIVATE.sub("", source)):
            if kind in ("variable_begin", "block_begin"):
                inside = []
            elif kind in ("variable_end", "block_end") and inside is not None:
                text = "".join(inside).strip()
                statement = kind == "block_end"
                covered.append(self._word(f"{{% {text} %}}" if statement else f"{{{{ {text} }}}}", statement))
                inside = None
            elif inside is not None:
                inside.append(value)
            elif kind == "data":
                covered.append(value)
        return "".join(covered)

    def is_statement(self, number: int) -> bool:
        return number in self.statements

    def comment(self, html: str) -> str:
        """Statements that stand as text become comments, which no parser moves out of a table."""
        pieces: list[str] = []
        for token, source in tokens(html):
            if token is not None and token.type == turbohtml.TokenType.TEXT:
                source = WORD.sub(lambda w: f"<!--{w[0]}-->" if self.is_statement(int(w[1])) else w[0], source)
            pieces.append(source)
        return "".join(pieces)

    def check(self, text: str) -> None:
        """Raise ShieldError where statements were lost, doubled or moved."""
        found = [int(w[1]) for w in WORD.finditer(text) if self.is_statement(int(w[1]))]
        if found != sorted(self.statements):
            lost = sorted(self.statements - set(found))
            which = self.fields[lost[0]] if lost else "one of the {% ... %} blocks"
            raise ShieldError(f"{which} stands where HTML does not allow text; put it around whole elements or rows.")

    def uncover(self, text: str) -> str:
        """The merge fields back in their places."""
        return WORD.sub(lambda word: self.fields[int(word[1])], uncomment(text))


def uncomment(text: str) -> str:
    """Commented words as plain words again, and those that Markdown or an inliner percent-encoded."""
    return _QUOTED.sub(f"{_OPEN}\\1{_CLOSE}", _COMMENTED.sub(r"\1", text))


def lone_lines_apart(text: str, shield: Shield) -> str:
    """Empty lines around statements that have a line of their own, so that Markdown starts a new block there."""
    return _ALONE.sub(lambda f: f"\n{f[1]}\n" if shield.is_statement(int(f[1][1:-1])) else f[0], text)


def tokens(html: str) -> list[tuple["turbohtml.Token | None", str]]:
    """HTML tokens with their verbatim source; the sources joined are ``html`` again, octet for octet.

    Whatever the tokeniser gives no source for (text, references) is taken from the gap between two sources. Raw text
    of ``<style>``, ``<script>`` and ``<title>`` comes with token None.
    """
    result: list[tuple[turbohtml.Token | None, str]] = []
    at = 0
    raw = False
    text: turbohtml.Token | None = None
    for token in turbohtml.tokenize(html, capture_source=True):
        if token.source is None:
            text = token
            continue
        start = html.find(token.source, at)
        if start < 0:
            raise ShieldError("The HTML could not be read.")
        if start > at:
            result.append((None if raw else text, html[at:start]))
        result.append((token, token.source))
        at = start + len(token.source)
        text = None
        if token.type == turbohtml.TokenType.START_TAG:
            raw = token.tag in ("style", "script", "title", "textarea")
        elif token.type == turbohtml.TokenType.END_TAG:
            raw = False
    if at < len(html):
        result.append((None if raw else text, html[at:]))
    return result
