"""A list's archive as feeds: Atom (RFC 4287) and RSS 2.0, written as XML by hand of a library and never pasted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from html import escape
from re import compile as pattern
from typing import Final
from xml.etree.ElementTree import Element, SubElement, register_namespace, tostring

ATOM: Final = "http://www.w3.org/2005/Atom"
_XML: Final = "http://www.w3.org/XML/1998/namespace"
#: What XML 1.0 section 2.2 cannot hold.
_FORBIDDEN: Final = pattern("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

register_namespace("atom", ATOM)


@dataclass(frozen=True, slots=True)
class Entry:
    """A past mail: ``ident`` is its permanent address, ``url`` the same with a reader's key, ``at`` its sending."""

    ident: str
    url: str
    title: str
    summary: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Feed:
    """What both forms say; ``own_url`` is the feed's address, ``page_url`` the archive's. ``ident`` never changes."""

    title: str
    description: str
    author: str
    language: str
    page_url: str
    own_url: str
    ident: str
    made_at: datetime
    entries: Sequence[Entry]

    @property
    def updated(self) -> datetime:
        return max((one.at for one in self.entries), default=self.made_at)


def atom(feed: Feed) -> bytes:
    """The feed as an Atom document in UTF-8."""
    root = Element(f"{{{ATOM}}}feed", {f"{{{_XML}}}lang": feed.language})
    _text(root, f"{{{ATOM}}}id", feed.ident)
    _text(root, f"{{{ATOM}}}title", feed.title)
    if feed.description:
        _text(root, f"{{{ATOM}}}subtitle", feed.description)
    _text(root, f"{{{ATOM}}}updated", _moment(feed.updated))
    author = SubElement(root, f"{{{ATOM}}}author")
    _text(author, f"{{{ATOM}}}name", feed.author or feed.title)
    SubElement(root, f"{{{ATOM}}}link", {"rel": "self", "type": "application/atom+xml", "href": feed.own_url})
    SubElement(root, f"{{{ATOM}}}link", {"rel": "alternate", "type": "text/html", "href": feed.page_url})
    for one in feed.entries:
        entry = SubElement(root, f"{{{ATOM}}}entry")
        _text(entry, f"{{{ATOM}}}id", one.ident)
        _text(entry, f"{{{ATOM}}}title", one.title)
        _text(entry, f"{{{ATOM}}}published", _moment(one.at))
        _text(entry, f"{{{ATOM}}}updated", _moment(one.at))
        SubElement(entry, f"{{{ATOM}}}link", {"rel": "alternate", "type": "text/html", "href": one.url})
        _text(entry, f"{{{ATOM}}}summary", one.summary or one.title)
    return _octets(root)


def rss(feed: Feed) -> bytes:
    """The feed as an RSS 2.0 document in UTF-8."""
    root = Element("rss", {"version": "2.0"})
    channel = SubElement(root, "channel")
    _text(channel, "title", feed.title)
    _text(channel, "link", feed.page_url)
    _text(channel, "description", feed.description or feed.title)
    _text(channel, "language", feed.language)
    _text(channel, "lastBuildDate", format_datetime(feed.updated))
    SubElement(channel, f"{{{ATOM}}}link", {"rel": "self", "type": "application/rss+xml", "href": feed.own_url})
    for one in feed.entries:
        item = SubElement(channel, "item")
        _text(item, "title", one.title)
        _text(item, "link", one.url)
        guid = _text(item, "guid", one.ident)
        guid.set("isPermaLink", "true" if one.ident == one.url else "false")
        _text(item, "pubDate", format_datetime(one.at))
        _text(item, "description", escape(one.summary or one.title, quote=False))  # HTML to readers; ours is text
    return _octets(root)


def _text(parent: Element, name: str, text: str) -> Element:
    found = SubElement(parent, name)
    found.text = _FORBIDDEN.sub("", text)
    return found


def _moment(at: datetime) -> str:
    return at.replace(microsecond=0).isoformat().replace("+00:00", "Z")


def _octets(root: Element) -> bytes:
    octets: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return octets
