"""Where a request comes from: the peer's address, or the last hop that a proxy on this very machine names."""

from aiohttp import web


def address_of(request: web.Request) -> str:
    """The client's address. Only a proxy on this machine is believed about it."""
    peer = request.remote or ""
    forwarded = request.headers.get("X-Forwarded-For", "")
    if forwarded and (peer.startswith("127.") or peer == "::1"):
        return forwarded.rsplit(",", 1)[-1].strip()[:64]
    return peer
