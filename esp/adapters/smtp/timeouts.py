"""How long each step of the conversation may take (RFC 5321 section 4.5.3.2)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. The RFC's figures, but for ``connect``, where it says nothing, and ``quit``, which matters to nobody."""

    connect: float = 30.0
    greeting: float = 300.0
    hello: float = 300.0
    tls: float = 60.0
    mail: float = 300.0
    rcpt: float = 300.0
    data: float = 120.0
    block: float = 180.0
    # Ten minutes and not less: to give up while the server still works on the message makes a duplicate (RFC 1047).
    dot: float = 600.0
    quit: float = 5.0

    @property
    def tick(self) -> float:
        """How often deadlines are looked at: one timer a connection is cheaper than one a command."""
        return min(15.0, self.hello / 4, self.mail / 4, self.dot / 4, self.quit / 2)
