"""Mailbox providers: who serves a domain, and how each likes to be fed, from config/providers.toml.

The first rule that names the domain, or one of its MX, decides; where none does, the provider is the organisational
domain (by the public suffix list) of the best MX, so that the thousand domains one host serves share its limits.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final

from publicsuffixlist import PublicSuffixList

from esp.errors import SettingsError
from esp.model.quantities import Rate, parse_duration
from esp.model.shipped import shipped

_SUFFIXES: Final = PublicSuffixList()
_KEYS: Final = frozenset({"domains", "mx", "connections", "messages_per_connection", "rate", "first_retry"})
MESSAGES_PER_CONNECTION: Final = 100
FIRST_RETRY: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Shape:
    """How one provider is fed. ``connections`` and ``rate`` are for the whole server, all processes together."""

    name: str
    connections: int
    messages_per_connection: int = MESSAGES_PER_CONNECTION
    rate: Rate | None = None
    first_retry: timedelta | None = None


@lru_cache(maxsize=65536)
def organisational_domain(host: str) -> str:
    """``mx1.mail.example.co.uk`` is of ``example.co.uk``; what has no such domain stays as it is, in lower case."""
    name = host.rstrip(".").lower()
    return str(_SUFFIXES.privatesuffix(name) or name)


@dataclass(frozen=True, slots=True)
class Shaping:
    """All providers known by name, and what holds for the others."""

    default: Shape
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    by_domain: Mapping[str, str] = field(default_factory=dict)
    by_mx: tuple[tuple[str, str], ...] = ()  # (suffix with its leading dot, provider), in the file's order

    def provider_of(self, domain: str, mx_hosts: Sequence[str] = ()) -> str:
        """The provider's name for a recipient ``domain`` (A-label form), with its MX best first where known."""
        name = domain.rstrip(".").lower()
        if name in self.by_domain:
            return self.by_domain[name]
        if mx_hosts:
            best = "." + mx_hosts[0].rstrip(".").lower()
            for suffix, provider in self.by_mx:
                if best.endswith(suffix):
                    return provider
            return organisational_domain(mx_hosts[0])
        return organisational_domain(name)

    def shape(self, provider: str) -> Shape:
        """How ``provider`` (as named by ``provider_of``) is fed."""
        known = self.shapes.get(provider)
        if known is not None:
            return known
        ours = self.default
        return Shape(provider, ours.connections, ours.messages_per_connection, ours.rate, ours.first_retry)


def parse_shaping(data: Mapping[str, Any], connections: int = 10, rate: Rate | None = None) -> Shaping:
    """Shaping from the parsed TOML: a table a provider. Raises SettingsError naming the provider and the key.

    ``connections`` and ``rate`` hold where the file does not say (settings: provider_connections, provider_rate).
    """
    shapes: dict[str, Shape] = {}
    by_domain: dict[str, str] = {}
    by_mx: list[tuple[str, str]] = []
    for name, table in data.items():
        if not isinstance(table, Mapping) or not table.keys() <= _KEYS:
            wrong = ", ".join(sorted(set(table) - _KEYS)) if isinstance(table, Mapping) else name
            known = ", ".join(sorted(_KEYS))
            raise SettingsError(f"providers.toml: {name}: there is no key {wrong}; there are {known}.")
        try:
            shapes[name] = Shape(
                name,
                int(table.get("connections", connections)),
                int(table.get("messages_per_connection", MESSAGES_PER_CONNECTION)),
                Rate.parse(table["rate"]) if "rate" in table else rate,
                parse_duration(table["first_retry"]) if "first_retry" in table else None,
            )
        except (ValueError, TypeError) as error:
            raise SettingsError(f"providers.toml: {name}: {error}") from None
        by_domain |= {domain.lower(): name for domain in table.get("domains", ())}
        by_mx += [("." + suffix.lower().strip("."), name) for suffix in table.get("mx", ())]
    return Shaping(Shape("", connections, MESSAGES_PER_CONNECTION, rate), shapes, by_domain, tuple(by_mx))


def load_shaping(connections: int = 10, rate: Rate | None = None) -> Shaping:
    """The shipped config/providers.toml, with the settings' own figures where it does not say."""
    return parse_shaping(tomllib.loads(shipped("providers.toml")), connections, rate)
