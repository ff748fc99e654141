"""A workspace's looks on recipients' pages: name, logo and one accent colour, made legible in light and in dark."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from esp.model.colour import ink_on, legible

DEFAULT_ACCENT: Final = "#0f766e"

_ACCENT: Final = re.compile(r"#?([0-9a-fA-F]{6})")
# The least kind of the surfaces in public.css that coloured text stands on.
_LIGHT: Final = "#f1f5f9"
_DARK: Final = "#273449"
_BASE: Final = (Path(__file__).parent / "templates" / "public.css").read_bytes()
_VERSION: Final = sha256(_BASE).hexdigest()[:10]

STYLE_ROUTE: Final = r"/s/-/style-{version:[0-9a-f]{10}}-{accent:[0-9a-f]{6}}.css"


@dataclass(frozen=True, slots=True)
class Look:
    """How one workspace's pages look. ``words`` are its own texts: language, then key (see ``Shell``)."""

    brand: str = ""
    address: str = ""  # postal, shown at the foot
    accent: str = DEFAULT_ACCENT  # #rrggbb
    logo: str = ""  # a path of ours
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def stylesheet(self) -> str:
        """Path of the one style sheet: a function of the colour alone, so that it needs no database and never ages."""
        return f"/s/-/style-{_VERSION}-{self.accent.lstrip('#').lower()}.css"


PLAIN: Final = Look()


def read_accent(text: str) -> str:
    """``text`` as #rrggbb in lower case; ValueError where it is no such colour."""
    found = _ACCENT.fullmatch(text.strip())
    if found is None:
        raise ValueError("Write a colour as # and six digits, for example #0f766e.")
    return f"#{found[1].lower()}"


def style(accent: str) -> bytes:
    """The style sheet for an accent colour."""
    light, dark = legible(accent, _LIGHT), legible(accent, _DARK)
    variables = (
        f":root{{--brand:{light};--fill:{accent};--on:{ink_on(accent)}}}\n"
        f"@media (prefers-color-scheme:dark){{:root{{--brand:{dark};--fill:{dark};--on:{ink_on(dark)}}}}}\n"
    )
    return _BASE + variables.encode()
