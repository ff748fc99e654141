"""Passwords and people: hashing off the loop with bounded concurrency, and the acts that change who may work here."""

import asyncio
import secrets
from typing import Final
from urllib.parse import urlsplit

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from esp.app import App
from esp.errors import InputError, TokenError
from esp.ports.accounts import Member, Role, User, Workspace
from esp.wire.addresses import AddressError, parse_address
from esp.wire.tokens import Purpose

MINIMUM_PASSWORD: Final = 10
_LOCAL_NAMES: Final = frozenset({"127.0.0.1", "::1", "localhost"})
MAXIMUM_PASSWORD: Final = 1024  # more is no safer, and hashing it is work that a stranger could make us do

# argon2id, 32 MiB, three passes: above OWASP's minimum of 19 MiB and two, and below 0.1 s on a small machine.
_HASHER: Final = PasswordHasher(time_cost=3, memory_cost=32 * 1024, parallelism=1)

# A hash nobody knows the password of: a login for an unknown address costs exactly as much as one for a known one.
_NOBODY: Final = _HASHER.hash(secrets.token_urlsafe(32))


class Passwords:
    """Argon2 in threads, at most ``at_once`` together: a flood of logins waits in a queue and takes no more memory."""

    def __init__(self, at_once: int = 2) -> None:
        self._turn = asyncio.Semaphore(at_once)

    async def hash(self, password: str) -> str:
        async with self._turn:
            return await asyncio.to_thread(_HASHER.hash, password)

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is right; the same work is done where there is nobody (``None``)."""
        if len(password) > MAXIMUM_PASSWORD:
            return False
        async with self._turn:
            right = await asyncio.to_thread(_verify, password_hash or _NOBODY, password)
        return right and password_hash is not None


def _verify(password_hash: str, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def new_password() -> str:
    """A password nobody chose, easy to read out: five groups of four signs without look-alikes (98 bits)."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(4)) for _ in range(5))


def checked_email(email: str) -> str:
    """The address in lower case; InputError with ``problems["email"]`` where it is none."""
    try:
        return parse_address(email).text.lower()
    except AddressError as error:
        raise InputError("The address cannot be used.", {"email": str(error)}) from None


def check_password(password: str, *not_these: str) -> None:
    """InputError where a password is too short, too long, or one of ``not_these`` (the address, the name)."""
    problem = ""
    if len(password) < MINIMUM_PASSWORD:
        problem = f"Use at least {MINIMUM_PASSWORD} characters; a short sentence is easy to remember."
    elif len(password) > MAXIMUM_PASSWORD:
        problem = f"Use at most {MAXIMUM_PASSWORD} characters."
    elif password.lower() in {text.lower() for text in not_these if text} or len(set(password)) < 4:
        problem = "This password is easy to guess. Use a short sentence instead."
    if problem:
        raise InputError("The password cannot be used.", {"password": problem})


async def entrance(app: App) -> str:
    """The address to print at the start. While nobody can log in and the address is not this machine's own, it carries
    the code without which the set-up is closed: otherwise whoever found a new server first would own it."""
    if urlsplit(app.settings.public_url).hostname in _LOCAL_NAMES or await app.store.accounts.has_users():
        return app.settings.public_url
    return f"{app.settings.public_url}/setup?code={app.tokens.sign(Purpose.SETUP, 0, 0, 0)}"


def opens_set_up(app: App, code: str) -> bool:
    """Whether ``code`` is the one that ``entrance`` gave out."""
    try:
        app.tokens.verify(Purpose.SETUP, code)
    except TokenError:
        return False
    return True


async def found_server(app: App, passwords: Passwords, email: str, name: str, password: str) -> Member:
    """The first owner and an unnamed workspace. Raises InputError, or ConflictError where somebody was faster."""
    email = checked_email(email)
    check_password(password, email, name)
    return await app.store.accounts.create_first_owner(email, name, await passwords.hash(password), app.clock.now())


async def create_workspace(
    app: App, name: str, postal_address: str = "", *, language: str = "en", time_zone: str = "UTC"
) -> Workspace:
    """A further brand on this server."""
    return await app.store.accounts.create_workspace(
        name, postal_address, app.clock.now(), language=language, time_zone=time_zone)


async def add_user(
    app: App, passwords: Passwords, workspace_id: int, email: str, name: str, password: str, role: Role = Role.MEMBER
) -> User:
    """A new user of this workspace. Raises InputError, or ConflictError where the address is in use."""
    email = checked_email(email)
    check_password(password, email, name)
    hashed = await passwords.hash(password)
    return await app.store.accounts.create_user(workspace_id, email, name, hashed, role, app.clock.now())


async def set_password(
    app: App, passwords: Passwords, user: User, password: str, *, keep_session: str | None = None
) -> None:
    """A new password; every session but ``keep_session`` (a token's hash) ends in the same transaction."""
    check_password(password, user.email, user.name)
    await app.store.accounts.set_password(user.id, await passwords.hash(password), keep_session=keep_session)


async def forget_expired(app: App) -> bool:
    """Drop sessions that are over; never more to do at once."""
    await app.store.accounts.forget_expired_sessions(app.clock.now())
    return False
