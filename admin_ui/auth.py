"""Who is asking: logins against guessing, sessions in the database, and the cookie that names one."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Final

from aiohttp import web

from admin_ui.security import token_of
from esp.app import App
from esp.flows.accounts import Passwords
from esp.ports.accounts import NewSession, Session, User

SESSION_COOKIE: Final = "merpati_session"
GUEST_COOKIE: Final = "merpati_guest"
SESSION: Final = web.RequestKey("session", Session)  # absent where nobody is logged in
GUEST: Final = web.RequestKey("guest", str)

SESSION_LIFE: Final = timedelta(days=14)
TOUCH_EVERY: Final = timedelta(minutes=5)


@dataclass(slots=True)
class _Tries:
    count: int
    since: float


class LoginThrottle:
    """Counts tries without a login over a quarter of an hour: per address and account, and per address.

    It forgets the oldest first, so that a flood of invented names takes no more memory than ``capacity`` entries.
    Per account alone there is no bound: it would let a stranger lock an owner out.
    """

    PER_ACCOUNT: Final = 6
    PER_ADDRESS: Final = 40
    WINDOW: Final = 15 * 60.0

    def __init__(self, capacity: int = 20_000) -> None:
        self._tries: OrderedDict[tuple[str, str], _Tries] = OrderedDict()
        self._capacity = capacity

    def refuses(self, ip: str, email: str, now: float) -> bool:
        """Whether this try must not even be looked at. ``now`` is monotonic seconds."""
        return self._count(ip, email, now) >= self.PER_ACCOUNT or self._count(ip, "", now) >= self.PER_ADDRESS

    def record(self, ip: str, email: str, now: float) -> None:
        for key in ((ip, email), (ip, "")):
            tries = self._tries.get(key)
            if tries is None or now - tries.since > self.WINDOW:
                tries = self._tries[key] = _Tries(0, now)
            tries.count += 1
            self._tries.move_to_end(key)
        while len(self._tries) > self._capacity:
            self._tries.popitem(last=False)

    def forgive(self, ip: str, email: str) -> None:
        """A right password: this account starts anew from here, and the try does not count against the address."""
        self._tries.pop((ip, email), None)
        tries = self._tries.get((ip, ""))
        if tries is not None:
            tries.count -= 1

    def _count(self, ip: str, email: str, now: float) -> int:
        tries = self._tries.get((ip, email))
        return 0 if tries is None or now - tries.since > self.WINDOW else tries.count


def client_ip(request: web.Request) -> str:
    """The browser's address. A proxy on this machine is believed for the last hop it names, nobody else is."""
    peer = request.remote or ""
    forwarded = request.headers.get("X-Forwarded-For", "")
    if forwarded and (peer.startswith("127.") or peer == "::1"):
        return forwarded.rsplit(",", 1)[-1].strip()[:64]
    return peer


def is_on_this_machine(request: web.Request) -> bool:
    """Whether a browser here asks, and no proxy for somebody elsewhere."""
    forwarded = {"X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via"} & {name.title() for name in request.headers}
    local = (request.remote or "").startswith("127.") or request.remote == "::1"
    return local and not forwarded and (request.url.host or "") in ("127.0.0.1", "::1", "localhost")


def _hashed(token: str) -> str:
    return sha256(token.encode()).hexdigest()


async def check_login(
    app: App, passwords: Passwords, throttle: LoginThrottle, ip: str, email: str, password: str
) -> User | None:
    """The user, or None: unknown, wrong and too many tries look alike, and cost alike."""
    email = email.strip().lower()[:320]
    now = app.clock.monotonic()
    refused = throttle.refuses(ip, email, now)
    throttle.record(ip, email, now)  # before the slow part, so that a hundred guesses at once are counted too
    known = await app.store.accounts.credentials(email)
    right = await passwords.matches(known.password_hash if known else None, password)
    if known and right and not refused:
        throttle.forgive(ip, email)
        return known.user
    return None


async def log_in(app: App, request: web.Request, response: web.StreamResponse, user: User, workspace_id: int) -> None:
    """Open a session with a fresh id (an older one of this browser is closed, so none can be planted) and set it."""
    old = request.cookies.get(SESSION_COOKIE)
    if old:
        await app.store.accounts.close_session(_hashed(old))
    token = secrets.token_urlsafe(32)
    now = app.clock.now()
    await app.store.accounts.open_session(NewSession(
        token_hash=_hashed(token), user_id=user.id, workspace_id=workspace_id, csrf=secrets.token_urlsafe(24),
        ip=client_ip(request), user_agent=request.headers.get("User-Agent", "")[:300], at=now,
        expires_at=now + SESSION_LIFE))
    _set_cookie(app, response, SESSION_COOKIE, token, SESSION_LIFE)


async def log_out(app: App, request: web.Request, response: web.StreamResponse) -> None:
    token = request.cookies.get(SESSION_COOKIE)
    if token:
        await app.store.accounts.close_session(_hashed(token))
    response.del_cookie(SESSION_COOKIE, path="/")


async def load_session(app: App, request: web.Request) -> Session | None:
    """The session that the request's cookie names; it lives on while it is used."""
    token = request.cookies.get(SESSION_COOKIE)
    if not token or len(token) > 100:
        return None
    now = app.clock.now()
    session = await app.store.accounts.session(_hashed(token), now)
    if session is not None and now - session.seen_at > TOUCH_EVERY:
        await app.store.accounts.touch_session(session.token_hash, now, now + SESSION_LIFE)
    return session


def guest_token(request: web.Request) -> str:
    """The form token of somebody not logged in: without one, another page could log a victim in as itself."""
    return token_of(request.cookies.get(GUEST_COOKIE) or request[GUEST])


def new_guest() -> str:
    return secrets.token_urlsafe(24)


def set_guest_cookie(app: App, response: web.StreamResponse, guest: str) -> None:
    _set_cookie(app, response, GUEST_COOKIE, guest, timedelta(days=1))


def _set_cookie(app: App, response: web.StreamResponse, name: str, value: str, life: timedelta) -> None:
    # Lax and not Strict: a link in a mail to a campaign must find its reader logged in. Changes are guarded apart.
    response.set_cookie(
        name, value, max_age=int(life.total_seconds()), path="/", httponly=True, samesite="Lax",
        secure=app.settings.public_url.startswith("https://"))

