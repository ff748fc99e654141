"""Credentials of apps: made once, shown once, recognised quickly, and guessed by nobody."""

import asyncio
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Final

from esp.app import App
from esp.errors import InputError, MerpatiError
from esp.flows.accounts import Passwords
from esp.model.quantities import Rate
from esp.model.relay import Credential, CredentialKind, Scope
from esp.ports.relay import KnownCredential, NewCredential
from esp.wire.addresses import AddressError, parse_domain

KEY_PREFIX: Final = "mp"
_FRESH: Final = 5.0  # seconds after which it is looked up whether a credential was revoked
_VERIFIED: Final = 600.0  # seconds for which a password that was right is not put through argon2 again
_NOTED_EVERY: Final = 60.0  # seconds between two notes of when a credential was last used
_KNOWN: Final = 10_000
_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"


def _word(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


async def create_credential(
    app: App, passwords: Passwords, workspace_id: int, kind: CredentialKind, name: str, *,
    scopes: Iterable[Scope] = (), stream: str = "", domains: Iterable[str] = (), networks: Iterable[str] = (),
    rate: str = "", sandbox: bool = False, created_by: str = "",
) -> tuple[Credential, str]:
    """A new credential and its secret: the SMTP password, or the whole API key. The secret is kept nowhere.

    Raises InputError with ``problems`` by field.
    """
    name = name.strip()
    problems: dict[str, str] = {}
    if not 0 < len(name) <= 100 or not name.isprintable():
        problems["name"] = "Give it a name of at most 100 characters, such as the app's."
    checked_domains = _checked(domains, parse_domain, problems, "domains")
    checked_networks = _checked(networks, lambda text: str(ip_network(text, strict=False)), problems, "networks")
    if rate:
        try:
            Rate.parse(rate)
        except ValueError as error:
            problems["rate"] = str(error)
    if stream and stream not in {it.handle for it in await app.store.relay.streams(workspace_id)}:
        problems["stream"] = "There is no such stream."
    if problems:
        raise InputError("The credential was not made.", problems)
    login = f"smtp-{_word(12)}" if kind is CredentialKind.SMTP else f"{KEY_PREFIX}_{secrets.token_hex(8)}"
    if kind is CredentialKind.SMTP:
        secret = "-".join(_word(6) for _ in range(6))  # 178 bits, and nothing that a configuration file must escape
        kept = await passwords.hash(secret)
    else:
        secret = f"{login}_{secrets.token_hex(32)}"
        kept = key_hash(secret)
    credential = await app.store.relay.add_credential(workspace_id, NewCredential(
        kind, name, login, kept, frozenset(scopes), stream, checked_domains, checked_networks, rate, sandbox,
        created_by), app.clock.now())
    return credential, secret


def _checked(values: Iterable[str], check: object, problems: dict[str, str], where: str) -> tuple[str, ...]:
    found: list[str] = []
    assert callable(check)
    for value in values:
        try:
            found.append(check(value.strip()))
        except (AddressError, ValueError):
            problems[where] = f"{value.strip()[:100]} cannot be used here."
    return tuple(dict.fromkeys(found))


def key_hash(key: str) -> str:
    """An API key as it is kept: 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(key.encode()).hexdigest()


@dataclass(slots=True)
class _Entry:
    known: KnownCredential | None
    looked_up: float
    print: bytes = b""
    verified: float = float("-inf")


class Keyring:
    """What one process remembers of credentials: found ones for seconds, right passwords for minutes.

    Kept of a password is a MAC under a key of this process: whoever reads our memory has the process anyway.
    """

    def __init__(self, app: App, passwords: Passwords | None = None) -> None:
        self._app = app
        self._passwords = passwords or Passwords()
        self._key = secrets.token_bytes(32)
        self._entries: OrderedDict[tuple[CredentialKind, str], _Entry] = OrderedDict()
        self._noted: dict[int, float] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    async def smtp(self, login: str, password: str, peer: str) -> Credential | None:
        """The credential of a user name and password, shown from ``peer`` (an IP address); None for whatever reason.

        Takes as long for names that nobody has. Raises DependencyError where the database does not answer.
        """
        entry = await self._entry(CredentialKind.SMTP, login)
        known = entry.known
        mac = hashlib.blake2b(password.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()
        now = self._app.clock.monotonic()
        if known is None or now - entry.verified > _VERIFIED or not hmac.compare_digest(entry.print, mac):
            # Twenty connections that begin at once with one password need one verification, not twenty.
            turn = self._turns.setdefault(login, asyncio.Lock()) if known is not None else asyncio.Lock()
            try:
                async with turn:
                    fresh = entry.verified >= now and hmac.compare_digest(entry.print, mac)
                    if not fresh and not await self._passwords.matches(known.secret_hash if known else None, password):
                        return None
            finally:
                if known is not None and not turn.locked():
                    self._turns.pop(login, None)
            entry.print, entry.verified = mac, self._app.clock.monotonic()
        assert known is not None
        return await self._let_in(known.credential, peer)

    async def key(self, presented: str, peer: str) -> Credential | None:
        """The credential of an API key shown from ``peer``, or None. Raises DependencyError."""
        login, _, secret = presented.rpartition("_")
        if not (secret and login.isascii() and len(presented) <= 200):
            return None
        known = (await self._entry(CredentialKind.API, login)).known
        if known is None or not hmac.compare_digest(known.secret_hash, key_hash(presented)):
            return None
        return await self._let_in(known.credential, peer)

    async def still_good(self, credential: Credential) -> bool:
        """Whether a credential that a session holds has not been revoked since; at most some seconds behind."""
        known = (await self._entry(credential.kind, credential.login)).known
        return known is not None and known.credential.id == credential.id

    async def _let_in(self, credential: Credential, peer: str) -> Credential | None:
        if credential.networks and not _within(peer, credential.networks):
            return None
        now = self._app.clock.monotonic()
        if now - self._noted.get(credential.id, float("-inf")) > _NOTED_EVERY:
            if len(self._noted) > _KNOWN:
                self._noted.clear()
            self._noted[credential.id] = now
            with suppress(MerpatiError):  # a hint for people; it keeps nobody out
                await self._app.store.relay.credentials_used({credential.id: self._app.clock.now()})
        return credential

    async def _entry(self, kind: CredentialKind, login: str) -> _Entry:
        now = self._app.clock.monotonic()
        entry = self._entries.get((kind, login))
        if entry is not None and now - entry.looked_up <= _FRESH:
            return entry
        if entry is not None:
            entry.looked_up = now  # whoever asks meanwhile need not ask the database too
        known = None
        if len(login) <= 100 and "\x00" not in login:
            try:
                known = await self._app.store.relay.credential_by_login(kind, login)
            except BaseException:
                self._entries.pop((kind, login), None)
                raise
        if known is None:
            self._entries.pop((kind, login), None)  # names that nobody has would only push the others out
            return _Entry(None, now)
        if entry is None or entry.known is None or known.secret_hash != entry.known.secret_hash:
            entry = _Entry(known, now)
        self._entries[kind, login] = entry
        while len(self._entries) > _KNOWN:
            self._entries.popitem(last=False)
        entry.known = known
        return entry


def _within(peer: str, networks: Iterable[str]) -> bool:
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in ip_network(network) for network in networks)
