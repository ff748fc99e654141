"""The running application as a value: settings and every port, handed to flows, doors and screens."""

from dataclasses import dataclass, field

from esp.compose.service import ContentService
from esp.ports.clock import Clock
from esp.ports.coordination import Coordination
from esp.ports.network import Resolver
from esp.ports.pickup import MailDoors, NoMailDoors
from esp.ports.store import Store
from esp.ports.transfers import NoPlaces, Places
from esp.ports.webhooks import Hooks, NoHooks
from esp.settings import Settings
from esp.throttle.shaping import Shaping, parse_shaping
from esp.wire.tokens import TokenSigner


@dataclass(slots=True)
class App:
    """What a flow may use. Made by ``esp.wiring.build`` and closed by ``close``."""

    settings: Settings
    clock: Clock
    store: Store
    coordination: Coordination
    resolver: Resolver
    tokens: TokenSigner
    content: ContentService = field(default_factory=ContentService)  # its processes start when first asked
    places: Places = field(default_factory=NoPlaces)
    hooks: Hooks = field(default_factory=NoHooks)
    mailboxes: MailDoors = field(default_factory=NoMailDoors)
    shaping: Shaping = field(default_factory=lambda: parse_shaping({}))  # config/providers.toml

    async def close(self) -> None:
        await self.content.aclose()
        await self.hooks.close()
        await self.coordination.close()
        await self.resolver.close()
        await self.store.close()
