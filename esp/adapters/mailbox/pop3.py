"""A mailbox by POP3: what UIDL names and was not stored yet (RFC 1939). It has no way to tell of new mail."""

import poplib
import socket
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from esp.adapters.mailbox.thread import HAUL_MESSAGES, HAUL_OCTETS, SILENCE, Connects, Threaded
from esp.ports.pickup import Fetched, Haul, Pickup, Security

_OTHER_ANSWERS: Final = 64_000_000  # octets of lists: some million messages


class _Client(poplib.POP3):
    """The library's client on a socket of ours, with longer lines than its 2,048 octets, and an end to all answers."""

    def __init__(self, route: Connects, certificates: ssl.SSLContext, encrypted: bool) -> None:
        self._route, self._certificates, self._encrypted = route, certificates, encrypted
        self.allowance = _OTHER_ANSWERS
        super().__init__(route.host, route.port, SILENCE)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        plain = self._route.connect(timeout)
        if not self._encrypted:
            return plain
        return self._certificates.wrap_socket(plain, server_hostname=self._route.host)

    def _getline(self) -> tuple[bytes, int]:
        line: bytes = self.file.readline(self.allowance + 1)
        self.allowance -= len(line)
        if self.allowance < 0:
            raise poplib.error_proto("more octets than we take")
        if not line:
            raise poplib.error_proto("the connection ended")
        return line.rstrip(b"\r\n"), len(line)


class Pop3Session(Threaded):
    """The port ``MailSession`` over POP3. There is no position: what was stored is remembered by its UIDL."""

    def __init__(
        self, route: Connects, pickup: Pickup, password: str, max_octets: int, certificates: ssl.SSLContext,
        thread: ThreadPoolExecutor,
    ) -> None:
        super().__init__(thread, pickup.host)
        self._route, self._pickup, self._password = route, pickup, password
        self._max_octets, self._certificates = max_octets, certificates
        self._client: _Client | None = None
        self._numbers: dict[str, int] = {}  # by UIDL
        self._sizes: dict[int, int] = {}
        self._deletes = False

    async def login(self) -> None:
        await self._run(self._login)

    def _login(self) -> None:
        pickup = self._pickup
        client = self._client = _Client(self._route, self._certificates, pickup.security is Security.TLS)
        if pickup.security is Security.STARTTLS:
            client.stls(self._certificates)
        client.user(pickup.username)
        client.pass_(self._password)
        for line in client.uidl()[1]:
            number, _, uid = line.decode("ascii", "replace").strip().partition(" ")
            if number.isdigit() and uid:
                self._numbers[uid] = int(number)
        for line in client.list()[1]:
            number, _, size = line.decode("ascii", "replace").strip().partition(" ")
            if number.isdigit() and size.isdigit():
                self._sizes[int(number)] = int(size)

    @property
    def _open(self) -> _Client:
        assert self._client is not None
        return self._client

    async def fetch(self, position: str, seen: frozenset[str]) -> Haul:
        return await self._run(lambda: self._fetch(position, seen))

    def _fetch(self, position: str, seen: frozenset[str]) -> Haul:
        new = [uid for uid in self._numbers if uid not in seen]
        found: list[Fetched] = []
        octets = 0
        for uid in new:
            size = self._sizes.get(self._numbers[uid], 0)
            if found and (len(found) == HAUL_MESSAGES or octets + min(size, self._max_octets) > HAUL_OCTETS):
                break
            raw = self._message(uid) if size <= self._max_octets else None
            octets += len(raw or b"")
            found.append(Fetched(uid, raw))
        return Haul(tuple(found), position, len(found) < len(new), seen - self._numbers.keys())

    def _message(self, uid: str) -> bytes:
        self._open.allowance = self._max_octets + 1000  # a server's word about a size is only that
        lines = self._open.retr(self._numbers[uid])[1]
        self._open.allowance = _OTHER_ANSWERS
        return b"\r\n".join(lines) + b"\r\n"

    async def remove(self, uids: Sequence[str]) -> None:
        numbers = [self._numbers[uid] for uid in uids if uid in self._numbers]
        await self._run(lambda: [self._open.dele(number) for number in numbers])
        self._deletes = self._deletes or bool(numbers)

    async def leave(self) -> None:
        """Only a proper goodbye deletes what was asked to be deleted (RFC 1939 section 6)."""
        if self._deletes:
            await self._run(self._open.quit)

    async def wait(self, seconds: float) -> bool:
        return False

    def drop(self) -> None:
        """End the connection from any thread; what was not asked to be deleted stays."""
        if self._client is not None:
            with suppress(Exception):
                self._client.sock.shutdown(socket.SHUT_RDWR)
            with suppress(Exception):
                self._client.close()
