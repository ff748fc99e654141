"""Who guesses passwords is slowed down and then shut out, by address and by account, in bounded memory."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

_WINDOW: Final = 600.0  # seconds in which failures are counted together
_LOCKED: Final = 900.0  # seconds that a lock lasts
_FROM_ADDRESS: Final = 20  # failures before an address is locked
_OF_ACCOUNT: Final = 10  # failures before an account is locked, for addresses that it was not used from before
_GOOD_FOR: Final = 86_400.0  # seconds for which an address counts as the account's own
_KNOWN: Final = 20_000
_SLOWEST: Final = 8.0


@dataclass(slots=True)
class _Failures:
    since: float
    count: int = 0
    locked_until: float = float("-inf")


class LoginGuard:
    """Counts failures of one process. ``monotonic`` is the clock. Nothing here says whether an account exists."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        self._good: OrderedDict[tuple[str, str], float] = OrderedDict()

    def locked(self, peer: str, login: str) -> bool:
        """Whether a login from there is refused, right or wrong. An account's own addresses are not shut out by
        strangers: else anybody who knows a name could keep an app from sending."""
        now, network = self._monotonic(), network_of(peer)
        if self._is_locked(f"from {network}", now):
            return True
        return self._is_locked(f"as {login}", now) and self._good.get((login, network), 0.0) < now

    def wait(self, peer: str) -> float:
        """Seconds that the answer to a failure waits: they double with each from that address."""
        found = self._failures.get(f"from {network_of(peer)}")
        return min(_SLOWEST, 0.25 * 2 ** min(found.count, 10)) if found else 0.0

    def failed(self, peer: str, login: str) -> None:
        """A wrong name or password."""
        now = self._monotonic()
        for key, most in ((f"from {network_of(peer)}", _FROM_ADDRESS), (f"as {login}", _OF_ACCOUNT)):
            found = self._failures.get(key)
            if found is None or (now - found.since > _WINDOW and found.locked_until < now):
                found = self._failures[key] = _Failures(now)
            self._failures.move_to_end(key)
            found.count += 1
            if found.count >= most:
                found.locked_until = now + _LOCKED
        while len(self._failures) > _KNOWN:
            self._failures.popitem(last=False)

    def succeeded(self, peer: str, login: str) -> None:
        """A right one: the address is the account's own for a day."""
        network = network_of(peer)
        self._failures.pop(f"from {network}", None)
        self._good[login, network] = self._monotonic() + _GOOD_FOR
        self._good.move_to_end((login, network))
        while len(self._good) > _KNOWN:
            self._good.popitem(last=False)

    def _is_locked(self, key: str, now: float) -> bool:
        found = self._failures.get(key)
        return found is not None and found.locked_until > now


def network_of(peer: str) -> str:
    """What counts as one address: an IPv6 subscriber has a /64 of them."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network((address, 64), strict=False))
    return peer
