"""What simulated people do with a mail: decided by a seeded hash of their address, so that every run can be checked."""

import hashlib
from dataclasses import dataclass
from typing import Final

HUMAN_AGENTS: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_6) AppleWebKit/605.1 (KHTML, like Gecko) Version/18.5 Safari/605.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.4.0",
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Mobile Safari/537.36",
)
SCANNER_AGENTS: Final = (
    "Mozilla/5.0 (compatible; Barracuda Sentinel (EE))",
    "Mozilla/5.0 (compatible; Mimecast-URL-Protection)",
)
PROXY_AGENT: Final = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"

_NOTHING: Final = 0.52  # below it: not even opened
_OPENS: Final = 0.78  # below it: opened and no more
_CLICKS: Final = 0.97  # below it: opened and clicked; above: opened and unsubscribed
_LATE_SHARE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Plan:
    """What one person will do; times are seconds after the mail came, ``clicks`` numbers of links modulo how many."""

    opens_after: float | None = None
    clicks: tuple[int, ...] = ()
    unsubscribes: bool = False
    agent: str = HUMAN_AGENTS[0]


def fraction(seed: str, address: str, question: str) -> float:
    """A number from 0 to 1 that is always the same for the same three texts."""
    digest = hashlib.blake2b(f"{seed}\n{address.lower()}\n{question}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def plan(seed: str, address: str, pace: float) -> Plan:
    """What the person at ``address`` does. ``pace`` stretches all times, and should not be below 1."""
    mood = fraction(seed, address, "mood")
    if mood < _NOTHING:
        return Plan()
    # Nobody reads within two seconds of the mail's arrival; what does is taken for a machine, and rightly.
    wait = 3.0 + 3.0 * fraction(seed, address, "wait")
    if fraction(seed, address, "late") < _LATE_SHARE:
        wait += 5.0
    agent = HUMAN_AGENTS[int(fraction(seed, address, "agent") * len(HUMAN_AGENTS))]
    if mood < _OPENS:
        return Plan(wait * pace, (), False, agent)
    if mood < _CLICKS:
        first = int(fraction(seed, address, "first") * 1000)
        again = fraction(seed, address, "again") < 0.3
        return Plan(wait * pace, (first, first + 7) if again else (first,), False, agent)
    return Plan(wait * pace, (), True, agent)
