"""Who of a batch must not get it any more: what was looked up with the batch, asked again as it grows old."""

from collections.abc import Sequence
from typing import Final

from esp.app import App
from esp.flows.erasure import erased_among
from esp.model.contact import ExclusionReason
from esp.ports.outbox import ClaimedBatch, OutboxRow

_CHECK_EVERY: Final = 1.0  # seconds after which suppressions are looked up again (I3)


class Refusals:
    """Those of one batch to whom nothing may be sent, each with the reason."""

    def __init__(self, app: App, batch: ClaimedBatch) -> None:
        self._app, self._batch, self._clock = app, batch, app.clock
        self._refused: dict[int, str] = {}
        self._erased: frozenset[int] = frozenset()
        self._checked = 0.0

    async def load(self) -> Sequence[OutboxRow]:
        """Everybody in the batch, the refused among them."""
        self._checked = self._clock.monotonic()
        rows = await self._app.store.outbox.load(self._batch, self._clock.now())
        self._refused = {row.delivery_id: row.refused for row in rows if row.refused}
        # However an address came back into the house, whoever had it erased is not written to again.
        # Single messages are answers to what a person asks us now, so they go to those too.
        keys = [row.email_key for row in rows if not row.raw]
        gone = await erased_among(self._app, self._batch.workspace_id, keys)
        self._erased = frozenset(row.delivery_id for row in rows if row.email_key in gone)
        return rows

    @property
    def aged(self) -> bool:
        """What was looked up is too old to send by."""
        return self._clock.monotonic() - self._checked > _CHECK_EVERY

    async def reason(self, row: OutboxRow) -> str:
        """Why this person must not get it, as it is now; '' where they may."""
        if self.aged:
            self._checked = self._clock.monotonic()
            self._refused = await self._app.store.outbox.refused(self._batch, self._clock.now())
        found = self._refused.get(row.delivery_id, "")
        return found or (ExclusionReason.ERASED.value if row.delivery_id in self._erased else "")
