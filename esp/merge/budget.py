"""What one rendering may cost. Bounds are counts of work, not of time: the same template either works for everyone
with the same data or for no one, on a fast machine and on a slow one.
"""

from typing import Any, Final

from esp.errors import MerpatiError
from esp.merge.filters import MAXIMUM_TEXT

MAXIMUM_STEPS: Final = 20_000  # nodes visited inside loops, per template and recipient
MAXIMUM_ITERATIONS: Final = 2_000
MAXIMUM_MADE: Final = 4_000_000  # characters made by expressions
MAXIMUM_OUTPUT: Final = 1_000_000  # characters or octets written by values

TOO_LONG: Final = f"A merge field makes text of more than {MAXIMUM_TEXT:,} characters."


class MergeLimitError(MerpatiError):
    """The template does more work than one message may cost. Nothing was sent from it."""


class Budget:
    """What one rendering may still cost."""

    __slots__ = ("iterations", "made", "output", "steps")

    def __init__(self) -> None:
        self.steps = MAXIMUM_STEPS
        self.iterations = MAXIMUM_ITERATIONS
        self.made = MAXIMUM_MADE
        self.output = MAXIMUM_OUTPUT

    def loop(self, cost: int) -> None:
        """One more turn of a loop whose body has ``cost`` nodes."""
        self.iterations -= 1
        self.steps -= cost
        if self.iterations < 0 or self.steps < 0:
            raise MergeLimitError(
                f"The loops of the template run for too long (over {MAXIMUM_ITERATIONS:,} turns in all)."
            )

    def spend(self, value: Any) -> None:
        """Count the work of reading ``value`` through once."""
        if isinstance(value, (str, list, dict)):
            self.made -= len(value)
            if self.made < 0:
                raise MergeLimitError("The merge fields of the template make too much text.")

    def make(self, value: Any) -> Any:
        """Count ``value`` as made; text that is too long is refused, so that nobody gets half of it."""
        if isinstance(value, str) and len(value) > MAXIMUM_TEXT:
            raise MergeLimitError(TOO_LONG)
        self.spend(value)
        return value

    def write(self, size: int) -> None:
        self.output -= size
        if self.output < 0:
            raise MergeLimitError(f"The message gets longer than {MAXIMUM_OUTPUT:,} characters.")
