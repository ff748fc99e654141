"""Who is at the door: address, agent, and the traits by which a machine gives itself away."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from aiohttp import web

_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_PREFETCH_HEADERS: Final = ("Purpose", "Sec-Purpose", "X-Purpose", "X-Moz")


def _clean(text: str, longest: int) -> str:
    """Text that every database and log takes: no controls, no octets that are not UTF-8."""
    return _CONTROLS.sub(" ", text)[:longest].strip()


@dataclass(frozen=True, slots=True)
class Visitor:
    ip: str
    user_agent: str
    trait: str  # head, prefetch or empty
    accept_language: str


def _address(request: web.Request) -> str:
    """The peer; or, where a proxy of our own network stands before us, whom that proxy says it heard.

    Only the last entry of X-Forwarded-For is the proxy's own word: what stands before it the visitor may have sent.
    """
    peer = request.remote or ""
    try:
        near = ipaddress.ip_address(peer)
        if near.is_private or near.is_loopback:
            forwarded = request.headers.getall("X-Forwarded-For", [])
            if forwarded:
                return str(ipaddress.ip_address(forwarded[-1].rsplit(",", 1)[-1].strip()))
    except ValueError:
        pass
    return _clean(peer, 64)


def meet(request: web.Request) -> Visitor:
    """What is kept of a request."""
    headers = request.headers
    trait = "head" if request.method == "HEAD" else ""
    if not trait and any(re.search("prefetch|preview|prerender", headers.get(name, "")) for name in _PREFETCH_HEADERS):
        trait = "prefetch"
    return Visitor(
        _address(request), _clean(headers.get("User-Agent", ""), 400), trait, headers.get("Accept-Language", "")
    )
