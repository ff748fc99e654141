"""Which mailbox provider serves a domain: remembered, else asked of DNS, many at once and never for long."""

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from esp.app import App
from esp.ports.network import DnsError

_FRESH: Final = timedelta(days=1)
_FRESH_FAILURE: Final = timedelta(hours=1)
_AT_ONCE: Final = 50
_PATIENCE: Final = 3.0  # seconds a name; the provider is a hint for batching, and delivery asks DNS again


async def providers_of(app: App, domains: Iterable[str]) -> dict[str, str]:
    """The provider of each domain (A-label form). A domain that DNS does not answer for is its own provider.

    Behind a smart host nothing is asked: the mail goes there, and the domain's name alone says whose it is.
    """
    wanted = sorted(set(domains))
    if app.settings.delivery.smart_host:
        return {domain: app.shaping.provider_of(domain) for domain in wanted}
    known = await app.store.campaigns.providers(wanted, fresh_after(app))
    missing = [domain for domain in wanted if domain not in known]
    return known | await learn_providers(app, missing) if missing else known


def fresh_after(app: App) -> datetime:
    """What was resolved after this moment still counts."""
    return app.clock.now() - _FRESH


async def learn_providers(app: App, domains: Iterable[str]) -> dict[str, str]:
    """The provider of each domain, asked of DNS whatever is remembered, and remembered."""
    missing, now = sorted(set(domains)), app.clock.now()
    gate = asyncio.Semaphore(_AT_ONCE)
    found = dict(zip(missing, await asyncio.gather(*(_ask(app, domain, gate) for domain in missing)), strict=True))
    answered = {domain: provider for domain, provider in found.items() if provider is not None}
    failed = {domain: app.shaping.provider_of(domain) for domain, provider in found.items() if provider is None}
    if answered:
        await app.store.campaigns.remember_providers(answered, now)
    if failed:
        # Remembered for an hour only, so that a dead name server holds up one chunk and not every one.
        await app.store.campaigns.remember_providers(failed, now - _FRESH + _FRESH_FAILURE)
    return answered | failed


async def _ask(app: App, domain: str, gate: asyncio.Semaphore) -> str | None:
    async with gate:
        try:
            async with asyncio.timeout(_PATIENCE):
                hosts = await app.resolver.mx(domain)
        except DnsError as error:
            # A name that does not exist stays so for a day: its people bounce, whoever is asked.
            return app.shaping.provider_of(domain) if error.permanent else None
        except TimeoutError:
            return None
    return app.shaping.provider_of(domain, [host.name for host in hosts])
