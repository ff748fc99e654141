"""A workspace's looks on recipients' pages: name, logo and one accent colour, made legible in light and in dark."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

DEFAULT_ACCENT: Final = "#0f766e"
#: WCAG 2.2, 1.4.3: text against what it stands on. Buttons and links are text too.
LEGIBLE: Final = 4.5

_ACCENT: Final = re.compile(r"#?([0-9a-fA-F]{6})")
# The least kind of the surfaces in public.css that coloured text stands on.
_LIGHT: Final = "#f1f5f9"
_DARK: Final = "#273449"
_INKS: Final = ("#ffffff", "#0f172a", "#000000")
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


def contrast(one: str, other: str) -> float:
    """The contrast of two #rrggbb colours, 1 to 21 (WCAG 2.2, relative luminance)."""
    lighter, darker = sorted((_luminance(_parts(one)), _luminance(_parts(other))), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def legible(colour: str, background: str) -> str:
    """``colour``, moved towards black or white by as little as makes it legible on ``background``."""
    target = (0.0, 0.0, 0.0) if _luminance(_parts(background)) > 0.18 else (255.0, 255.0, 255.0)
    parts = _parts(colour)
    for step in range(51):
        mixed = _text(tuple(part + (end - part) * step / 50 for part, end in zip(parts, target, strict=True)))
        if contrast(mixed, background) >= LEGIBLE:
            return mixed
    return _text(target)


def ink_on(colour: str) -> str:
    """White, or nearly black, or black: the first that is legible on ``colour``, and one of them always is."""
    return next((ink for ink in _INKS if contrast(ink, colour) >= LEGIBLE), _INKS[-1])


def style(accent: str) -> bytes:
    """The style sheet for an accent colour."""
    light, dark = legible(accent, _LIGHT), legible(accent, _DARK)
    variables = (
        f":root{{--brand:{light};--fill:{accent};--on:{ink_on(accent)}}}\n"
        f"@media (prefers-color-scheme:dark){{:root{{--brand:{dark};--fill:{dark};--on:{ink_on(dark)}}}}}\n"
    )
    return _BASE + variables.encode()


def _parts(colour: str) -> tuple[float, float, float]:
    number = int(colour.lstrip("#"), 16)
    return float(number >> 16), float(number >> 8 & 255), float(number & 255)


def _text(parts: tuple[float, ...]) -> str:
    return "#" + "".join(f"{round(part):02x}" for part in parts)


def _luminance(parts: tuple[float, ...]) -> float:
    red, green, blue = (
        share / 12.92 if (share := part / 255) <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
