"""What processes and nodes agree on: rates, leases and wake-ups. Hints only: losing it all loses no mail."""

from dataclasses import dataclass
from typing import Protocol

from esp.model.quantities import Rate


@dataclass(frozen=True, slots=True)
class Grant:
    """``tokens`` may be used now; where none, ask again after ``wait`` seconds."""

    tokens: int
    wait: float


class Coordination(Protocol):
    async def take(self, key: str, rate: Rate, want: int) -> Grant:
        """Up to ``want`` tokens of the bucket ``key``; all askers share one bucket under one law (see Rate)."""
        ...

    async def give_back(self, key: str, rate: Rate, tokens: int) -> None:
        """Return tokens of ``take`` that were not used."""
        ...

    async def lease(self, name: str, owner: str, seconds: float) -> int | None:
        """Take or renew a lease: its fence number (grows with every new owner), or None where another holds it."""
        ...

    async def release(self, name: str, owner: str) -> None:
        """Give the lease up early; does nothing where ``owner`` does not hold it."""
        ...

    async def wake(self, topic: str) -> None:
        """Wake everybody who waits for ``topic``."""
        ...

    async def wait(self, topic: str, timeout: float) -> bool:
        """Wait for the next ``wake``; False after ``timeout`` seconds. It may be lost: callers look for work anyway."""
        ...

    async def close(self) -> None: ...
