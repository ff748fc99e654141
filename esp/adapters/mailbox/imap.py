"""A mailbox by IMAP: everything after the highest UID that was read, told of new mail by IDLE (RFC 2177)."""

import imaplib
import socket
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

from imapclient import IMAPClient

from esp.adapters.mailbox.thread import HAUL_MESSAGES, HAUL_OCTETS, SILENCE, Connects, Threaded
from esp.ports.pickup import Fetched, Haul, Pickup, Security

_ASKED: Final = 500  # uids whose sizes are asked for at once


class _Client(IMAPClient):  # type: ignore[misc]  # the library has no types
    """The library's client, on a socket of ours."""

    def __init__(self, route: Connects, certificates: ssl.SSLContext, encrypted: bool, most: int) -> None:
        self._route, self._certificates, self._encrypted, self._most = route, certificates, encrypted, most
        super().__init__(route.host, route.port, use_uid=True, ssl=encrypted, ssl_context=certificates, timeout=SILENCE)

    def _create_IMAP4(self) -> imaplib.IMAP4:  # noqa: N802  # the library's name
        route, certificates, encrypted, most = self._route, self._certificates, self._encrypted, self._most

        class Connection(imaplib.IMAP4):
            def _create_socket(self, timeout: float | None) -> socket.socket:
                plain = route.connect(SILENCE if timeout is None else timeout)
                return certificates.wrap_socket(plain, server_hostname=route.host) if encrypted else plain

            def read(self, size: int) -> bytes:
                if size > most:  # a literal: memory is only ours to give
                    raise imaplib.IMAP4.abort("more octets than we take")
                return super().read(size)

        return Connection(route.host, route.port, SILENCE)


class ImapSession(Threaded):
    """The port ``MailSession`` over IMAP. A position is ``UIDVALIDITY:UID``: another validity, another mailbox."""

    def __init__(
        self, route: Connects, pickup: Pickup, password: str, max_octets: int, certificates: ssl.SSLContext,
        thread: ThreadPoolExecutor,
    ) -> None:
        super().__init__(thread, pickup.host)
        self._route, self._pickup, self._password = route, pickup, password
        self._max_octets, self._certificates = max_octets, certificates
        self._client: Any = None
        self._validity = 0

    async def login(self) -> None:
        await self._run(self._login)

    def _login(self) -> None:
        pickup = self._pickup
        self._client = _Client(self._route, self._certificates, pickup.security is Security.TLS,
                               self._max_octets)
        if pickup.security is Security.STARTTLS:
            self._client.starttls(self._certificates)
        self._client.login(pickup.username, self._password)
        chosen = self._client.select_folder(pickup.folder or "INBOX")
        self._validity = int(chosen.get(b"UIDVALIDITY", 0))
        self._idles = bool(self._client.has_capability("IDLE"))

    async def fetch(self, position: str, seen: frozenset[str]) -> Haul:
        return await self._run(lambda: self._fetch(position, seen))

    def _fetch(self, position: str, seen: frozenset[str]) -> Haul:
        validity, _, last = position.partition(":")
        after = int(last) if validity == str(self._validity) and last.isdigit() else 0
        # "*" is the last message even if its uid is lower (RFC 9051 section 9, sequence-set).
        uids = sorted(uid for uid in self._client.search(["UID", f"{after + 1}:*"]) if uid > after)
        asked = uids[:_ASKED]
        sizes = self._client.fetch(asked, ["RFC822.SIZE"]) if asked else {}
        found: list[Fetched] = []
        octets = 0
        for uid in asked:
            size = int(sizes.get(uid, {}).get(b"RFC822.SIZE", 0))
            if found and (len(found) == HAUL_MESSAGES or octets + min(size, self._max_octets) > HAUL_OCTETS):
                break
            after = uid
            if f"{self._validity}:{uid}" in seen:
                continue
            raw = None if size > self._max_octets else self._message(uid)
            if raw is None and size <= self._max_octets:
                continue  # deleted between the two questions
            octets += len(raw or b"")
            found.append(Fetched(f"{self._validity}:{uid}", raw))
        return Haul(tuple(found), f"{self._validity}:{after}", bool(uids) and after < uids[-1])

    def _message(self, uid: int) -> bytes | None:
        answer = self._client.fetch([uid], ["BODY.PEEK[]"]).get(uid, {})
        raw = answer.get(b"BODY[]")
        return None if raw is None else bytes(raw)

    async def remove(self, uids: Sequence[str]) -> None:
        prefix = f"{self._validity}:"
        ours = [int(uid.removeprefix(prefix)) for uid in uids if uid.startswith(prefix)]
        if ours:
            await self._run(lambda: self._remove(ours))

    def _remove(self, uids: list[int]) -> None:
        self._client.add_flags(uids, [rb"\Deleted"], silent=True)
        # Only ours (RFC 4315): a plain EXPUNGE would take along what its owner has marked for later.
        if self._client.has_capability("UIDPLUS"):
            self._client.uid_expunge(uids)
        else:
            self._client.expunge()

    async def leave(self) -> None:
        """Nothing is left to do: IMAP deletes at once."""

    async def wait(self, seconds: float) -> bool:
        if not self._idles:
            return False
        return await self._run(lambda: self._wait(seconds))

    def _wait(self, seconds: float) -> bool:
        self._client.idle()
        try:
            self._client.idle_check(timeout=seconds)
        finally:
            self._client.idle_done()
        return True

    def drop(self) -> None:
        """End the connection from any thread; a call that hangs in it ends too."""
        if self._client is not None:
            with suppress(Exception):
                self._client.socket().shutdown(socket.SHUT_RDWR)
            with suppress(Exception):
                self._client.shutdown()
