"""The mailbox providers of the rehearsal, as data: who they are, where they listen and how they behave."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a provider does apart from accepting mail. Shares are parts of its addresses (0 to 1), times seconds."""

    greylist_seconds: float = 0.0
    messages_per_second: float = 0.0  # above it 421 4.7.0; 0: no bound
    connections: int = 0  # above it 421 4.7.0 instead of a greeting; 0: no bound
    unknown_share: float = 0.0
    late_bounce_share: float = 0.0
    delay_notice_share: float = 0.0  # sends a "still trying" report, which must change nothing
    vacation_share: float = 0.0
    starttls: bool = False
    scans_links: bool = False
    proxies_images: bool = False


@dataclass(frozen=True, slots=True)
class Provider:
    """``share`` is its part of all generated addresses; the MX host is ``mx1.`` before the domain."""

    title: str
    domain: str
    address: str
    share: float
    behaviour: Behaviour
    story: str

    @property
    def host(self) -> str:
        return f"mx1.{self.domain}"


PROVIDERS: Final[tuple[Provider, ...]] = (
    Provider("Steady", "steady.example", "127.0.11.1", 0.33, Behaviour(vacation_share=0.01),
             "accepts everything"),
    Provider("Greylist", "greylist.example", "127.0.12.1", 0.14, Behaviour(greylist_seconds=2.0),
             "asks everybody to come back once"),
    Provider("Busy", "busy.example", "127.0.13.1", 0.12, Behaviour(messages_per_second=20.0, connections=12),
             "says 421 above its rate"),
    Provider("Sparse", "sparse.example", "127.0.14.1", 0.10, Behaviour(unknown_share=0.12),
             "does not know one address in eight"),
    Provider("Echo", "echo.example", "127.0.15.1", 0.10,
             Behaviour(late_bounce_share=0.08, delay_notice_share=0.02, vacation_share=0.02),
             "accepts first and bounces later"),
    Provider("Sealed", "sealed.example", "127.0.16.1", 0.10, Behaviour(starttls=True),
             "offers STARTTLS"),
    Provider("Guarded", "guarded.example", "127.0.17.1", 0.03, Behaviour(scans_links=True),
             "has every link opened by a scanner, twice"),
    Provider("Discreet", "discreet.example", "127.0.18.1", 0.08, Behaviour(proxies_images=True),
             "loads every image through a privacy proxy"),
)

DNS_ADDRESS: Final = "127.0.53.1"
OUR_MX_ADDRESS: Final = "127.0.25.1"
