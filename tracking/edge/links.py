"""Where a click goes: looked up by campaign and index, from memory once seen, and never to a host a contact chose."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from esp.errors import MerpatiError
from esp.merge.links import resolve_link
from esp.ports.engagement import Engagement

_CAMPAIGNS: Final = 2000
_ORIGIN: Final = re.compile(r"https?://[^/?#\\\s{}\x00-\x20\x7f]+(?=[/?#]|$)", re.IGNORECASE)
_SAFE: Final = "/?#:@!$&'()*+,;=%-._~[]"


class Links:
    """Link URLs of campaigns, most recently used first; a campaign is frozen, so they never change."""

    def __init__(self, engagement: Engagement, timeout: float) -> None:
        self._engagement = engagement
        self._timeout = timeout
        self._known: OrderedDict[tuple[int, int], dict[int, str]] = OrderedDict()
        self._loading: dict[tuple[int, int], asyncio.Task[dict[int, str]]] = {}

    async def url(self, workspace_id: int, campaign_id: int, index: int) -> str | None:
        """The link as frozen, or None where there is none of this index.

        Whatever the store raises goes through, where the campaign is not in memory.
        """
        key = (workspace_id, campaign_id)
        urls = self._known.get(key)
        if urls is None:
            urls = await self._load(key)
        else:
            self._known.move_to_end(key)
        return urls.get(index)

    async def _load(self, key: tuple[int, int]) -> dict[int, str]:
        # One query however many ask at once: the first minute of a campaign is when everybody does.
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.create_task(self._engagement.link_urls(*key))
            task.add_done_callback(lambda done: self._loaded(key, done))
        return await asyncio.wait_for(asyncio.shield(task), self._timeout)

    def _loaded(self, key: tuple[int, int], task: "asyncio.Task[dict[int, str]]") -> None:
        self._loading.pop(key, None)
        if task.cancelled() or task.exception() is not None or not task.result():
            return
        self._known[key] = task.result()
        while len(self._known) > _CAMPAIGNS:
            self._known.popitem(last=False)


def target(template: str, address: str = "", fields: Mapping[str, Any] | None = None) -> str | None:
    """The URL to redirect to, in ASCII without spaces or controls; None where it is not one that we redirect to.

    Scheme and host are those written in ``template``, whatever its merge fields come to: a host that is personal, or a
    scheme other than http and https, is refused, so that no contact's data can make this an open redirect.
    """
    origin = _ORIGIN.match(template)
    if origin is None:
        return None
    try:
        url = resolve_link(template, address, fields or {})
    except MerpatiError:
        return None
    rest = url[origin.end():]  # the pattern ends before / ? # or at the end and knows no braces: it stands as written
    try:
        host = origin[0].encode("ascii").decode()
    except UnicodeEncodeError:
        scheme, _, name = origin[0].partition("://")
        try:
            host = f"{scheme}://{name.encode('idna').decode()}"
        except UnicodeError:
            return None
    return host + quote(rest.encode("utf-8", "replace"), safe=_SAFE)
