"""Which characters a name may hold: whatever people write, and nothing that garbles what stands beside it."""

from typing import Final

HIDDEN: Final = "The name holds a character that nobody sees and that garbles the text around it. Type it anew."

# Direction marks and joiners belong to how Arabic, Hebrew, Persian and some emoji are written. Overrides and embeddings
# (U+202A to U+202E, U+2066 to U+2069) would turn the rest of the line around as well, and controls end it.
_WRITTEN: Final = frozenset("\u200c\u200d\u200e\u200f\u061c")


def is_blank(name: str) -> bool:
    """Whether nothing of ``name`` can be seen."""
    return not set(name.replace(" ", "")) - _WRITTEN


def hides_something(name: str) -> bool:
    """Whether ``name`` holds a control, an override of the direction, or what no font shows."""
    return not all(one in _WRITTEN or one.isprintable() for one in name)
