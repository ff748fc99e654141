"""What becomes of apps' messages by the clock: scheduled ones begin, old keys and old bodies go."""

from datetime import timedelta
from typing import Final

from esp.app import App

_KEYS: Final = timedelta(hours=24)
_AT_ONCE: Final = 500


async def start_due(app: App) -> bool:
    """Scheduled messages whose time has come are shown as accepted; True where more wait."""
    return await app.store.relay.start_due(app.clock.now(), _AT_ONCE) == _AT_ONCE


async def forget_keys(app: App) -> bool:
    """Idempotency keys hold for a day."""
    return await app.store.relay.forget_keys(app.clock.now() - _KEYS, _AT_ONCE) == _AT_ONCE


async def forget_bodies(app: App) -> bool:
    """Octets of messages older than their stream keeps them go; what became of the messages stays in the log."""
    after: int | None = 0
    while after is not None:
        after = await app.store.relay.forget_bodies(app.clock.now(), after, _AT_ONCE)
    return False
