"""How fast one provider may be fed: connections and rate that grow on success and shrink when the provider says so.

Postfix's queue manager is the model for the window (small start, growth on success, shrink on failure of the whole
site, a dead site left alone but for a probe); the learnt rate is ours, since a provider that answers ``421 above
a rate`` answers it on one connection as well as on twenty. Pure: the time (monotonic seconds) is always handed in.
"""

from dataclasses import dataclass, field
from typing import Final

from esp.model.bucket import Bucket, take
from esp.model.quantities import Rate
from esp.model.verdict import Permanence, Reason, Scope, Verdict

INITIAL_CONNECTIONS: Final = 5
DEAD_AFTER: Final = 3  # failed tries at connecting in a row, with no success between them
FIRST_PAUSE: Final = 1.0  # seconds
LONGEST_PAUSE: Final = 60.0
LONGEST_SUSPENSION: Final = 600.0
BACK_OFF: Final = 0.7  # of the rate observed when the provider objected
GROWTH_A_SECOND: Final = 1.05  # of the learnt rate while nothing objects
SLOWEST: Final = 1 / 60  # messages a second: never so slow that recovery cannot be noticed
_MEASURED_OVER: Final = 2.0  # seconds
_UNREACHED: Final = frozenset({Reason.NETWORK, Reason.TIMEOUT, Reason.DNS, Reason.TLS, Reason.LOGIN})


@dataclass(frozen=True, slots=True)
class Admit:
    """Send one now."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now: ask again after ``seconds``, or when a message in flight has ended."""

    seconds: float


@dataclass(slots=True)
class Pace:
    """The state of one provider in one sending process. ``maximum`` bounds the connections at once."""

    maximum: int
    limit: float = 0.0  # connections at once, now
    learnt: float | None = None  # messages a second the provider was seen to stand; None while it never objected
    pause: float = 0.0
    resume_at: float = 0.0
    failures: int = 0
    _bucket: Bucket = field(default_factory=lambda: Bucket(1.0, 0.0))
    _grown_at: float = 0.0
    _slowed_at: float = float("-inf")
    _counted: int = 0
    _counted_from: float = 0.0
    _observed: float = 0.0

    def __post_init__(self) -> None:
        self.limit = self.limit or float(min(INITIAL_CONNECTIONS, self.maximum))

    @property
    def suspended(self) -> bool:
        """The site is taken for dead: one probe at a time goes there, and only when the suspension is over."""
        return self.failures >= DEAD_AFTER

    @property
    def connections(self) -> int:
        """Connections that may be open at once now."""
        return 1 if self.suspended else max(1, int(self.limit))

    def admit(self, in_flight: int, now: float) -> Admit | Wait:
        """Whether one more message may go now, ``in_flight`` being under way."""
        if now < self.resume_at:
            return Wait(self.resume_at - now)
        if in_flight >= self.connections:
            return Wait(LONGEST_PAUSE)
        if self.learnt is None:
            return Admit()
        self._bucket, granted, wait = take(self._bucket, Rate(self.learnt, 1.0), 1, now)
        return Admit() if granted else Wait(wait)

    def settle(self, verdict: Verdict, now: float) -> None:
        """Learn from how one message ended. Only what concerns the whole site slows anything down."""
        if verdict.permanence is Permanence.SUCCESS or verdict.scope in (Scope.RECIPIENT, Scope.MESSAGE):
            # A refusal of one recipient is an answer too: the site lives and takes commands.
            self._succeeded(now)
        elif verdict.reason in _UNREACHED:
            self._unreached(now)
        else:  # for good, too: what is blocked today costs reputation with every further try
            self._slow_down(now)

    def _succeeded(self, now: float) -> None:
        self.failures = 0
        # Additive: one more connection for each round of as many successes as there are connections.
        self.limit = min(float(self.maximum), self.limit + 1 / max(self.limit, 1.0))
        self._count(now)
        if self.learnt is None:
            self.pause = 0.0
            return
        if now - self._slowed_at > self.pause:
            self.pause = self.pause / 2 if self.pause > FIRST_PAUSE else 0.0
        grown = min(max(0.0, now - self._grown_at), 60.0)
        self._grown_at = now
        self.learnt *= GROWTH_A_SECOND**grown

    def _count(self, now: float) -> None:
        self._counted += 1
        passed = now - self._counted_from
        if passed >= _MEASURED_OVER:
            self._observed = self._counted / passed
            self._counted, self._counted_from = 0, now

    def _slow_down(self, now: float) -> None:
        self.failures = 0
        # What was in flight when the provider objected objects too; one storm is one lesson.
        if now - self._slowed_at < max(self.pause, FIRST_PAUSE):
            return
        passed = max(now - self._counted_from, 1.0)
        current = max(self._observed, self._counted / passed)
        known = self.learnt if self.learnt is not None else current
        self.learnt = max(SLOWEST, min(known, current or known) * BACK_OFF)
        self._observed, self._counted, self._counted_from = 0.0, 0, now
        self._bucket = Bucket(0.0, now)
        self.limit = max(1.0, self.limit / 2)
        self.pause = min(LONGEST_PAUSE, self.pause * 2 or FIRST_PAUSE)
        self.resume_at = max(self.resume_at, now + self.pause)
        self._slowed_at = self._grown_at = now

    def _unreached(self, now: float) -> None:
        self.failures += 1
        self.limit = max(1.0, self.limit / 2)
        if self.failures >= DEAD_AFTER:
            silence = FIRST_PAUSE * 2.0 ** min(self.failures, 20)
            self.resume_at = now + min(LONGEST_SUSPENSION, silence)
