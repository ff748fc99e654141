"""Server-sent events: a page that keeps itself fresh while something runs."""

from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from admin_ui.page import Page

KEEP_ALIVE: Final = b": here\n\n"


async def stream(page: Page, fragments: AsyncIterator[str]) -> web.StreamResponse:
    """Send each fragment of HTML as it comes; when ``fragments`` ends, tell the page so (event ``done``).

    The iterator decides the pace. An unchanged fragment is not sent again, a comment keeps the connection instead. The
    stream ends with the session that asked for it: whoever logs out, is barred or goes to another workspace sees no
    figure more.
    """
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
    await response.prepare(page.request)
    last = ""
    try:
        async for fragment in fragments:
            if not await _still_in(page):
                break
            await response.write(KEEP_ALIVE if fragment == last else _event(fragment))
            last = fragment
        await response.write(b"event: done\ndata: \n\n")
    except ConnectionResetError:
        pass  # the reader left
    finally:
        close = getattr(fragments, "aclose", None)
        if close is not None:
            await close()
    return response


async def _still_in(page: Page) -> bool:
    session = await page.app.store.accounts.session(page.session.token_hash, page.app.clock.now())
    return session is not None and session.workspace.id == page.workspace_id


def _event(fragment: str) -> bytes:
    # Each line of the data needs its own field; CR alone would end a line too.
    return "".join(f"data: {line}\n" for line in fragment.splitlines()).encode() + b"\n"
