"""Find the links of a mail, number them, and put a slot where each URL stood; every other octet stays as it was."""

import html as html_entities
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import turbohtml

from esp.compose.shield import WORD, Shield, tokens, uncomment
from esp.merge.frozen import link_slot
from esp.merge.links import parse_url, reads_only_contact
from esp.model.content import Link, Problem

# One attribute of a tag: name, then perhaps a value in double quotes, single quotes or none (WHATWG 13.2.5.32-40).
_ATTRIBUTE: Final = re.compile(r"""([^\s"'<>/=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>][^\s>]*)))?""")
_BARE_URL: Final = re.compile(r"https?://[^\s<>\"]+", re.IGNORECASE)
_CONDITIONAL: Final = re.compile(r"(<!--\[if[^\]]*\]>)(.*)(<!\[endif\]-->)", re.DOTALL | re.IGNORECASE)
_UNTRACKED: Final = ("mailto:", "tel:", "sms:", "#", "cid:")
_OWN: Final = re.compile(r"\{\{\s*(unsubscribe_url|view_url|preferences_url)\s*\}\}")


@dataclass(slots=True)
class LinkFinder:
    """Collects the links of one variant, numbered from ``next_index``; ``problems`` grows as bad links are met."""

    shield: Shield
    next_index: int
    links: list[Link] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def _problem(self, message: str, level: str = "error") -> None:
        problem = Problem(level, "body", message)
        if problem not in self.problems:
            self.problems.append(problem)

    def _slot(self, covered_url: str) -> str | None:
        """What replaces a URL whose merge fields are still covered: its slot, mostly; None where it stays as it is."""
        covered = uncomment(covered_url).strip()
        url = self.shield.uncover(covered)
        if not covered:
            self._problem("A link leads nowhere: its address is empty.", "warning")
            return None
        if covered.lower().startswith(_UNTRACKED) or _OWN.fullmatch(url):
            return None
        if any(self.shield.is_statement(int(word[1])) for word in WORD.finditer(covered)):
            self._problem(f"The link {url!r} holds a {{% ... %}} block; put the block around the whole link.")
            return None
        if covered.startswith("//"):
            self._problem(f"The link {url!r} has no http: or https: in front; mail programs cannot follow it.")
            return None
        if not covered.lower().startswith(("http://", "https://")):
            if WORD.match(covered):
                self._problem(
                    f"The link {url!r} starts with a merge field. Write the address's host out: https://example.com/..."
                )
            else:
                self._problem(f"The link {url!r} is not a whole web address; it must start with https://.")
            return None
        if not self._host_is_fixed(covered, url):
            return None
        if "{{" in url and not reads_only_contact(parse_url(url)):
            self._problem(
                f"Clicks on {url!r} are not counted: only contact fields can be used in a tracked link.", "warning"
            )
            return WORD.sub(self._percent_encoded, covered)
        index = self.next_index
        self.next_index += 1
        self.links.append(Link(index, url))
        return link_slot(index)

    def _percent_encoded(self, word: re.Match[str]) -> str:
        inner = self.shield.fields[int(word[1])].removeprefix("{{").removesuffix("}}").strip()
        inner = re.sub(r"\|\s*urlencode\s*$", "", inner)
        return self.shield.cover(f"{{{{ ({inner}) | urlencode }}}}")

    def _host_is_fixed(self, covered: str, url: str) -> bool:
        # Backslashes count as slashes to browsers; a merge field right of the scheme could name another host.
        authority = re.split(r"[/?#\\]", covered.split("://", 1)[1], maxsplit=1)[0]
        if WORD.search(authority):
            self._problem(
                f"The host of the link {url!r} is a merge field; write it out, so that nobody can be led elsewhere."
            )
            return False
        try:
            host = urlsplit(covered).hostname
        except ValueError:
            host = None
        if not host or "\\" in covered or re.search(r"[\x00-\x20\x7f]", covered):
            self._problem(f"The link {url!r} is not a valid web address.")
            return False
        return True

    def check_raw_text(self, html: str) -> None:
        """Note merge fields inside of ``<script>`` and ``<style>``: their text is not HTML, escaping is no help."""
        name = ""
        for token, source in tokens(html):
            if token is not None and token.type == turbohtml.TokenType.START_TAG:
                name = token.tag or ""
            elif token is None and name in ("script", "style") and WORD.search(source):
                self._problem(f"A merge field cannot stand inside <{name}>.")

    def in_html(self, html: str) -> str:
        """``html`` with the URL of every ``href`` that is tracked replaced by its slot."""
        pieces: list[str] = []
        inside: list[tuple[int, list[str]]] = []
        for token, source in tokens(html):
            if token is not None and token.type == turbohtml.TokenType.START_TAG:
                before = len(self.links)
                source = self._in_tag(token, source)
                if token.tag == "a":
                    inside = [(before, [])] if len(self.links) > before else []
            elif token is not None and token.type == turbohtml.TokenType.END_TAG and token.tag == "a":
                for at, words in inside:
                    label = " ".join(self.shield.uncover("".join(words)).split())[:200]
                    self.links[at] = Link(self.links[at].index, self.links[at].url, html_entities.unescape(label))
                inside = []
            elif token is not None and token.type == turbohtml.TokenType.COMMENT:
                # Outlook's conditional comments hold markup of their own, buttons with links among it.
                found = _CONDITIONAL.fullmatch(source)
                if found:
                    source = found[1] + self.in_html(found[2]) + found[3]
            elif inside and token is not None and token.type == turbohtml.TokenType.TEXT:
                inside[-1][1].append(source)
            pieces.append(source)
        return "".join(pieces)

    def _in_tag(self, token: turbohtml.Token, source: str) -> str:
        name = token.tag or ""
        start = len(name) + 1
        if WORD.search(source[:start]):
            self._problem("A merge field cannot name an HTML element.")
            return source
        linked = name in ("a", "area") or name.startswith("v:")
        pieces: list[str] = []
        at = 0
        for found in _ATTRIBUTE.finditer(source, start):
            group = next((g for g in (2, 3, 4) if found[g] is not None), 0)
            if WORD.search(found[1]) or (group == 4 and WORD.search(found[4])):
                self._problem(f'Put quotes around the merge field in <{name}>: attribute="{{{{ ... }}}}".')
            elif found[1].lower().startswith("on") and group and WORD.search(found[group]):
                self._problem(f"A merge field cannot stand in a script ({found[1]}).")
            if linked and group and found[1].lower() == "href":
                slot = self._slot(html_entities.unescape(found[group]))
                if slot is not None:
                    slot = html_entities.escape(slot)
                    pieces += [source[at : found.start(group)], slot if group != 4 else f'"{slot}"']
                    at = found.end(group)
        return "".join(pieces) + source[at:]

    def in_text(self, text: str) -> str:
        """Plain ``text`` with every http(s) URL replaced by its slot."""

        def replace(found: re.Match[str]) -> str:
            url = found[0].rstrip(".,;:!?)]}'*_")
            slot = self._slot(url)
            return found[0] if slot is None else slot + found[0][len(url) :]

        return _BARE_URL.sub(replace, text)
