"""What all batches of one sending process share: sessions, gates, meters, the journal, and each campaign's plan."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from esp.app import App
from esp.errors import MerpatiError
from esp.flows.connections import Connections
from esp.flows.digest_mail import digest_fields
from esp.flows.pacing import Gate, Meter
from esp.flows.plan import SendingPlan
from esp.flows.stopwatch import Stopwatch
from esp.model.content import OutgoingMessage, Recipient
from esp.model.quantities import Rate
from esp.ports.journal import OutcomeJournal
from esp.ports.outbox import ClaimedBatch, OutboxRow
from esp.render.message import Renderer
from esp.render.single import Sealer

_PLANS_KEPT: Final = 16
_PLAN_GOOD_FOR: Final = 60.0  # seconds: a signing key that is rotated is not used much longer
_MOST_GATES: Final = 20_000
_VIA_SMART_HOST: Final = "smart host"

PlanSource = Callable[[App, int, int], Awaitable[SendingPlan]]


@dataclass(slots=True)
class PreparedPlan:
    """A campaign's plan with one renderer a variant, made when first needed."""

    plan: SendingPlan
    until: float
    renderers: dict[int, Renderer] = field(default_factory=dict)
    sealer: Sealer | None = None  # for single messages


class Engine:
    """One sending process. ``workers`` is how many of its kind share this server's limits."""

    def __init__(
        self, app: App, connections: Connections, journal: OutcomeJournal, plan_source: PlanSource, *, workers: int = 1,
        stopwatch: Stopwatch | None = None, signed: bool = True,
    ) -> None:
        self.app = app
        self.connections = connections
        self.journal = journal
        self.stopwatch = stopwatch or Stopwatch()
        self._workers = workers
        self._signed = signed
        self._plan_source = plan_source
        self._plans: OrderedDict[int, PreparedPlan] = OrderedDict()
        self._planning = asyncio.Lock()
        self._gates: dict[str, Gate] = {}
        self._meters: dict[str, Meter] = {}

    async def plan(self, batch: ClaimedBatch) -> PreparedPlan:
        """The plan of the batch's campaign; raises what the plan's source raises."""
        async with self._planning:
            now = self.app.clock.monotonic()
            known = self._plans.get(batch.campaign_id)
            if known is None or known.until < now:
                plan = await self._plan_source(self.app, batch.workspace_id, batch.campaign_id)
                known = self._plans[batch.campaign_id] = PreparedPlan(plan, now + _PLAN_GOOD_FOR)
            self._plans.move_to_end(batch.campaign_id)
            if len(self._plans) > _PLANS_KEPT:
                self._plans.popitem(last=False)
            return known

    def gate(self, provider: str) -> Gate:
        """The gate of ``provider``; a smart host is one destination, whoever is behind it."""
        name = _VIA_SMART_HOST if self.app.settings.delivery.smart_host else provider
        found = self._gates.get(name)
        if found is None:
            if len(self._gates) >= _MOST_GATES:
                self._forget_gates()
            found = self._gates[name] = Gate(self.app.shaping.shape(name), self._workers, self.app.clock.monotonic)
        return found

    def _forget_gates(self) -> None:
        """Let go of what was learnt about providers that nobody sends to now: their names come from recipients'
        domains, of which a large list has hundreds of thousands. One that is left alone keeps its gate closed."""
        self._gates = {name: gate for name, gate in self._gates.items() if gate.busy or gate.closed_for}
        self._meters = {key: meter for key, meter in self._meters.items() if meter.busy}

    def closed_providers(self, patience: float) -> set[str]:
        """Providers that are left alone for longer than ``patience`` seconds."""
        return {name for name, gate in self._gates.items() if gate.closed_for > patience}

    def meters(self, plan: SendingPlan, provider: str) -> list[Meter]:
        """Every rate that a message of this campaign to ``provider`` counts against, the widest last."""
        found = []
        shape = self.gate(provider).shape
        for key, rate in (
            (f"provider:{shape.name}", shape.rate),
            (f"campaign:{plan.envelope.campaign_id}", plan.throttle),
            ("server", self.app.settings.delivery.server_rate),
        ):
            if rate is not None:
                found.append(self._meter(key, rate))
        return found

    def _meter(self, key: str, rate: Rate) -> Meter:
        found = self._meters.get(key)
        if found is None or found.rate != rate:
            found = self._meters[key] = Meter(key, rate, self.app.coordination)
        return found

    def render(self, prepared: PreparedPlan, row: OutboxRow, now: datetime) -> OutgoingMessage:
        """The recipient's message, merged, signed and complete.

        Raises ValueError and MerpatiError for what is wrong with this one message, whatever it is: a fault that one
        person's data brings out must not hold up everybody in the batch, again and again.
        """
        if row.raw:
            return self._seal(prepared, row, now)
        renderer = prepared.renderers.get(row.variant_id)
        if renderer is None:
            plan = prepared.plan
            renderer = Renderer(plan.variants[row.variant_id], plan.envelope, self.app.tokens, signed=self._signed)
            prepared.renderers[row.variant_id] = renderer
        fields = row.fields
        try:
            if row.digest:
                fields = digest_fields(prepared.plan, row, self.app.tokens)
            recipient = Recipient(row.delivery_id, row.contact_id, row.address, fields, row.tracked)
            with self.stopwatch.stage("merge"):
                merged = renderer.merge(recipient)
            with self.stopwatch.stage("hash_sign"):
                return renderer.finish(recipient, merged, now)
        except (MerpatiError, ValueError):
            raise
        except Exception as problem:
            raise ValueError(f"the message could not be made: {problem!r}") from problem

    def _seal(self, prepared: PreparedPlan, row: OutboxRow, now: datetime) -> OutgoingMessage:
        """A single message, as it was written; only signatures, return path and the way out are ours to add."""
        if prepared.sealer is None:
            prepared.sealer = Sealer(prepared.plan.envelope, self.app.tokens, signed=self._signed)
        with self.stopwatch.stage("hash_sign"):
            return prepared.sealer.seal(row.delivery_id, row.address, row.raw, now, can_leave=row.can_leave)

    async def close(self) -> None:
        """Close sessions and give back what was taken and not used."""
        for meter in self._meters.values():
            await meter.close()
        await self.connections.close()
