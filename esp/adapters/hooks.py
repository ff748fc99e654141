"""Posts to addresses that strangers chose: each resolved once and checked, no redirects, little time, little memory."""

import asyncio
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from esp.adapters.places import CheckedResolver, checked_addresses
from esp.errors import InputError

_SECONDS: Final = 15.0
_LONGEST_ANSWER: Final = 1000
_AT_ONCE: Final = 200


class HttpHooks:
    """The port ``Hooks``. ``allow_private`` is for servers whose apps live beside them."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> tuple[int, str]:
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
            # Also for numbers in the place of a name, of which no resolver is asked.
            async with asyncio.timeout(_SECONDS):
                await checked_addresses(parts.hostname or "", port, self._allow_private)
                async with self._opened().post(url, data=body, headers=headers, allow_redirects=False) as answer:
                    text = await answer.content.read(_LONGEST_ANSWER)
                    return answer.status, text.decode("utf-8", "replace").replace("\0", "")
        except InputError as error:
            return 0, str(error)
        except TimeoutError:
            return 0, f"No answer within {_SECONDS:.0f} seconds."
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return 0, (str(error) or type(error).__name__)[:_LONGEST_ANSWER]

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=CheckedResolver(self._allow_private), use_dns_cache=False, limit=_AT_ONCE,
                    limit_per_host=20),
                timeout=aiohttp.ClientTimeout(total=_SECONDS), trust_env=False, cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "Merpati-Webhooks"}, auto_decompress=False)
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
