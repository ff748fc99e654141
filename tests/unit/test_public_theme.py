"""Whatever colour an owner chooses, what stands on recipients' pages can be read, by day and by night."""

import re

import pytest

from esp.model.colour import LEGIBLE, contrast
from tracking.edge.theme import DEFAULT_ACCENT, read_accent, style

ODD = (DEFAULT_ACCENT, "#ffff00", "#ffffff", "#000000", "#808080", "#777777", "#ff0000", "#00ff00", "#0000ff",
       "#fefefe", "#010101", "#1e293b", "#f1f5f9", "#767676", "#b45309")


def variables(sheet: str) -> tuple[dict[str, str], dict[str, str]]:
    """What the sheet sets by day, and by night over it; later words win, as in a browser."""
    night = re.compile(r"@media \(prefers-color-scheme:\s*dark\)\s*\{\s*:root\s*\{(.*?)\}\s*\}", re.DOTALL)

    def read(text: str) -> dict[str, str]:
        return dict(re.findall(r"--([a-z]+):\s*(#[0-9a-f]{6})", text))

    day = read(night.sub("", sheet))
    return day, {**day, **read(" ".join(night.findall(sheet)))}


@pytest.mark.parametrize("accent", ODD)
def test_every_accent_is_legible_in_both_schemes(accent: str) -> None:
    for one in variables(style(read_accent(accent)).decode()):
        assert contrast(one["on"], one["fill"]) >= LEGIBLE, "a button's words"
        for surface in ("page", "card", "soft"):
            assert contrast(one["brand"], one[surface]) >= LEGIBLE, "a link, a button's edge, a ticked box"
            for ink in ("ink", "quiet", "harm", "good"):
                assert contrast(one[ink], one[surface]) >= LEGIBLE, (ink, surface)
            assert contrast(one["edge"], one[surface]) >= 3, "the edge of a field (WCAG 2.2, 1.4.11)"


@pytest.mark.parametrize("text", ["", "red", "#12345", "#1234567", "#12g456", "url(x)", "#fff;}", "#٠٠٠٠٠٠"])
def test_what_is_no_colour_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="six digits"):
        read_accent(text)
