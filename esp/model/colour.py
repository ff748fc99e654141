"""Colours that people choose, made legible: contrast as WCAG 2.2 reckons it."""

from typing import Final

#: WCAG 2.2, 1.4.3: text against what it stands on. Buttons and links are text too.
LEGIBLE: Final = 4.5
_INKS: Final = ("#ffffff", "#0f172a", "#000000")


def contrast(one: str, other: str) -> float:
    """The contrast of two #rrggbb colours, 1 to 21."""
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
