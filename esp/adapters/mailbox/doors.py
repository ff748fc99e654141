"""The way to a mailbox: its address checked, then exactly that one connected to, in a thread of its own."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

from esp.adapters.mailbox.imap import ImapSession
from esp.adapters.mailbox.pop3 import Pop3Session
from esp.adapters.places import checked_addresses, is_public
from esp.errors import InputError
from esp.ports.pickup import MailboxError, MailProtocol, MailSession, Pickup, Security


@dataclass(frozen=True, slots=True)
class Route:
    """Where to connect: the name that a certificate must bear, and the address behind it that was checked."""

    host: str
    address: str
    port: int

    def connect(self, timeout: float | None) -> socket.socket:
        """A connection to the checked address: the name is not looked up a second time."""
        return socket.create_connection((self.address, self.port), timeout)


class OutsideMailboxes:
    """The port ``MailDoors``. The libraries block, so each session has one thread, which does one thing at a time."""

    def __init__(self, allow_private_addresses: bool, max_octets: int) -> None:
        self._allow_private = allow_private_addresses
        self._max_octets = max_octets

    @asynccontextmanager
    async def open(self, pickup: Pickup, password: str) -> AsyncIterator[MailSession]:
        """Connect, log in, open the folder; and end it again, however it goes. Raises MailboxError."""
        route = await self._route(pickup)
        thread = ThreadPoolExecutor(1, thread_name_prefix="mailbox")
        protocol = ImapSession if pickup.protocol is MailProtocol.IMAP else Pop3Session
        session = protocol(route, pickup, password, self._max_octets, ssl.create_default_context(), thread)
        try:
            await session.login()
            yield session
            await session.leave()
        finally:
            session.drop()
            thread.shutdown(wait=False)

    async def _route(self, pickup: Pickup) -> Route:
        try:
            async with asyncio.timeout(30):
                addresses = await checked_addresses(pickup.host, pickup.port, self._allow_private)
        except InputError as error:
            raise MailboxError(str(error)) from None
        except TimeoutError:
            raise MailboxError(f"Looking up {pickup.host} took too long.") from None
        _, address = addresses[0]
        if pickup.security is Security.NONE and is_public(address):
            raise MailboxError("The password would cross the internet readable by all. Choose TLS or STARTTLS.")
        return Route(pickup.host, address, pickup.port)
