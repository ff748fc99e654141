"""Who fetched a pixel or a link: a person, a privacy proxy or a link scanner. Pure, and versioned.

The rules are one ordered table; the first that matches decides. Raw hits are kept, so a new version of the table can
be applied to old campaigns (``tracking.jobs.reclassify``). A hit depends only on the hits of the same delivery within
one window before and after it, so that judging as they come in gives the same answer as judging them all at the end.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final

from esp.model.delivery import EventType
from esp.ports.engagement import Hit, JudgedHit

RULES_VERSION: Final = 1

#: Nobody opens, reads and clicks within this time after the receiving server said 250.
INSTANT: Final = timedelta(seconds=2)

#: A person may click two links in a window, and even all of a short mail; from the third on it takes a machine.
_FEWEST_LINKS: Final = 3
#: More fetches of one mail within a window are nobody's reading.
_FLOOD: Final = 300
#: So many different links within one window are a machine's doing, however long the mail is.
_MOST_LINKS: Final = 8


class Agent(StrEnum):
    HUMAN = "human"
    PROXY = "proxy"  # a mailbox provider fetches images for everyone, whether somebody looks or not
    SCANNER = "scanner"  # a security gateway follows links


_IMAGE_PROXIES: Final = re.compile(r"GoogleImageProxy|ggpht\.com|YahooMailProxy", re.IGNORECASE)
_SCANNERS: Final = re.compile(
    r"barracuda|proofpoint|urldefense|mimecast|BingPreview|SafeLinks|Microsoft Office Existence Discovery"
    r"|messagelabs|symantec|trend ?micro|forti(?:mail|guard|gate)|sophos|ironport|cisco[ -]?(?:umbrella|esa)"
    r"|fireeye|trellix|zscaler|vade(?:secure)?|cloudmark|avanan|checkpoint|mailscanner|rspamd|spamassassin"
    r"|google-safety|virustotal|urlscan|headlesschrome|phantomjs|puppeteer|playwright"
    r"|facebookexternalhit|slackbot|telegrambot|whatsapp/|twitterbot|linkedinbot|skypeuripreview|discordbot"
    r"|\b(?:curl|wget|libwww-perl|python-requests|python-urllib|aiohttp|httpx|okhttp|go-http-client|java)/"
    r"|\b\w*(?:bot|crawler|spider|scanner)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Trace:
    """All hits of one delivery by time, what its server and its mail tell, and what follows from them together."""

    hits: tuple[Hit, ...]
    delivered_at: datetime | None
    links: int
    window: timedelta
    burst: frozenset[int] = field(default=frozenset(), init=False)  # positions of hits in a burst over all links
    flood: frozenset[int] = field(default=frozenset(), init=False)  # positions of hits among too many
    human_opens: tuple[datetime, ...] = field(default=(), init=False)  # as far as rules for single hits tell

    def __post_init__(self) -> None:
        burst, flood = _crowds(self.hits, self.links, self.window)
        object.__setattr__(self, "burst", burst)
        object.__setattr__(self, "flood", flood)
        opens = (hit for hit in self.hits if hit.type is EventType.OPENED and _alone(hit) is Agent.HUMAN)
        object.__setattr__(self, "human_opens", tuple(hit.at for hit in opens))


def _crowds(hits: Sequence[Hit], links: int, window: timedelta) -> tuple[frozenset[int], frozenset[int]]:
    """Positions in a burst (most links within one window, and the opens of whoever clicked them), and in a flood."""
    threshold = max(_FEWEST_LINKS, min(_MOST_LINKS, links // 2 + 1))
    times = [hit.at for hit in hits]
    burst: set[int] = set()
    flood: set[int] = set()
    flooded = 0
    for first, start in enumerate(times):
        last = bisect_right(times, start + window)
        if last - first > _FLOOD:
            flood.update(range(max(first, flooded), last))
            flooded = last
            continue
        clicks = [position for position in range(first, last) if hits[position].type is EventType.CLICKED]
        if len({hits[position].link_index for position in clicks}) < threshold:
            continue
        # A scanner that renders the page loads the pixel too; but the person may open the mail at that very moment.
        sources = {(hits[position].ip, hits[position].user_agent) for position in clicks}
        burst.update(
            position for position in range(first, last)
            if hits[position].type is EventType.CLICKED or (hits[position].ip, hits[position].user_agent) in sources
        )
    return frozenset(burst), frozenset(flood)


@lru_cache(maxsize=4096)  # a campaign's fetches come from a few hundred agents
def _says(pattern: re.Pattern[str], user_agent: str) -> bool:
    return pattern.search(user_agent) is not None


def _image_proxy(hit: Hit) -> bool:
    return hit.type is EventType.OPENED and _says(_IMAGE_PROXIES, hit.user_agent)


def _apple_privacy(hit: Hit) -> bool:
    # Apple's Mail Privacy Protection says no more than this; every browser says more.
    return hit.type is EventType.OPENED and hit.user_agent.strip() == "Mozilla/5.0"


def _instant_click(trace: Trace, position: int) -> bool:
    hit = trace.hits[position]
    if hit.type is not EventType.CLICKED or trace.delivered_at is None or hit.at > trace.delivered_at + INSTANT:
        return False
    # Somebody who opened the mail just before may be a quick person after all.
    opened = bisect_left(trace.human_opens, hit.at - lookback(trace.window))
    return not (opened < len(trace.human_opens) and trace.human_opens[opened] <= hit.at)


@dataclass(frozen=True, slots=True)
class Rule:
    """``matches`` is given the trace and the position of the hit to be judged."""

    name: str
    agent: Agent
    matches: Callable[[Trace, int], bool]


def _single(name: str, agent: Agent, matches: Callable[[Hit], bool]) -> Rule:
    return Rule(name, agent, lambda trace, position: matches(trace.hits[position]))


_SINGLE: Final[tuple[tuple[str, Agent, Callable[[Hit], bool]], ...]] = (
    ("image-proxy", Agent.PROXY, _image_proxy),
    ("apple-privacy", Agent.PROXY, _apple_privacy),
    ("head", Agent.SCANNER, lambda hit: hit.trait == "head"),
    ("prefetch", Agent.SCANNER, lambda hit: hit.trait == "prefetch"),
    ("nameless", Agent.SCANNER, lambda hit: not hit.user_agent.strip()),
    ("known-scanner", Agent.SCANNER, lambda hit: _says(_SCANNERS, hit.user_agent)),
)

RULES: Final = (
    *(_single(*row) for row in _SINGLE),
    Rule("flood", Agent.SCANNER, lambda trace, position: position in trace.flood),
    Rule("all-links", Agent.SCANNER, lambda trace, position: position in trace.burst),
    Rule("instant-click", Agent.SCANNER, _instant_click),
)


def _alone(hit: Hit) -> Agent:
    return next((agent for _, agent, matches in _SINGLE if matches(hit)), Agent.HUMAN)


def lookback(window: timedelta) -> timedelta:
    """How long before a hit the judge must know what else was fetched."""
    return max(window, INSTANT)


def judge(hits: Sequence[Hit], delivered_at: datetime | None, links: int, window: timedelta) -> list[JudgedHit]:
    """Each of one delivery's hits with who made it, by time.

    ``delivered_at`` is when the receiving server accepted the mail, ``links`` the number of links in it, ``window`` the
    time in which a scanner follows them all (``tracking.scanner_window``).
    """
    trace = Trace(tuple(sorted(hits, key=lambda hit: hit.at)), delivered_at, links, window)
    judged = []
    for position, hit in enumerate(trace.hits):
        rule = next((rule for rule in RULES if rule.matches(trace, position)), None)
        agent, name = (rule.agent, rule.name) if rule else (Agent.HUMAN, "person")
        judged.append(JudgedHit(hit, agent, name, RULES_VERSION))
    return judged
