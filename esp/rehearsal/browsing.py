"""People, scanners and proxies at their browsers: real HTTP from loopback addresses of their own."""

import asyncio
import ipaddress
from collections.abc import Sequence
from typing import Final, Self
from urllib.parse import urlsplit

import aiohttp

from esp.rehearsal.people import PROXY_AGENT, SCANNER_AGENTS

_PEOPLE: Final = tuple(f"127.0.101.{number}" for number in range(1, 9))
_SCANNERS: Final = "127.0.102.1"
_PROXY: Final = "127.0.103.1"
_WAIT: Final = aiohttp.ClientTimeout(total=30)
_TRIES: Final = 3


def inside(url: str) -> bool:
    """Whether ``url`` stays on this machine: a rehearsal fetches nothing from the real world."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Browsers:
    """One set of connections for each kind of visitor; close it with ``async with``."""

    def __init__(self) -> None:
        self._people: list[aiohttp.ClientSession] = []
        self._scanner: aiohttp.ClientSession
        self._proxy: aiohttp.ClientSession
        self._scanning = asyncio.Semaphore(2)
        self.failures = 0

    async def __aenter__(self) -> Self:
        self._people = [self._session(address) for address in _PEOPLE]
        self._scanner, self._proxy = self._session(_SCANNERS), self._session(_PROXY)
        return self

    async def __aexit__(self, *_: object) -> None:
        for session in (*self._people, self._scanner, self._proxy):
            await session.close()

    @staticmethod
    def _session(address: str) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(local_addr=(address, 0), limit=16), timeout=_WAIT,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def fetch(self, person: int, agent: str, url: str) -> bool:
        """A person's GET; True where the answer was 2xx or 3xx. Redirects are not followed: they lead out of here."""
        return await self._ask(self._people[person % len(self._people)], "GET", url, agent)

    async def unsubscribe(self, person: int, agent: str, url: str) -> bool:
        """RFC 8058 section 3.1: a POST with one field, no cookie, and no redirect followed."""
        return await self._ask(self._people[person % len(self._people)], "POST", url, agent,
                               {"List-Unsubscribe": "One-Click"})

    async def scan(self, urls: Sequence[str]) -> None:
        """Every address of a mail fetched by GET, by one scanner after the other."""
        async with self._scanning:
            for agent in SCANNER_AGENTS:
                await asyncio.gather(*(self._ask(self._scanner, "GET", url, agent) for url in urls))

    async def proxy(self, urls: Sequence[str]) -> None:
        """Every image loaded by a privacy proxy."""
        await asyncio.gather(*(self._ask(self._proxy, "GET", url, PROXY_AGENT) for url in urls))

    async def _ask(
        self, session: aiohttp.ClientSession, method: str, url: str, agent: str, form: dict[str, str] | None = None
    ) -> bool:
        for attempt in range(_TRIES):
            try:
                async with session.request(
                    method, url, headers={"User-Agent": agent}, data=form, allow_redirects=False
                ) as answer:
                    await answer.read()
                    if answer.status < 400:
                        return True
                    if answer.status < 500:
                        break
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            await asyncio.sleep(0.5 * (attempt + 1))
        self.failures += 1
        return False
