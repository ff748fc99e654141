"""The engagement report: levels, how groups decay, how often is too often, what comes and what goes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from aiohttp import web

from admin_ui.page import Page, Routes
from admin_ui.pages.contacts.listening import LEVELS
from admin_ui.render import percent
from admin_ui.words import _
from esp.model.listening import Level
from tracking.listener import fit_of
from tracking.science.decay_curve import half_life_of

routes = Routes()
_DAYS: Final = 400
#: What a report calls its groups.
KINDS: Final = {"all": "Everybody", "month": "Subscribed in", "source": "Source", "list": "List"}
ALL_WORDS: Final = tuple(KINDS.values())
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 720, 240, 48, 36, 12, 12


@dataclass(frozen=True, slots=True)
class Point:
    """A share observed, where it is drawn: the middle and the ends of its interval."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Plot:
    """A curve of decay as a drawing: observed points, the fitted line, and marks on both axes."""

    points: list[Point]
    line: str
    across: list[tuple[float, int]]
    upwards: list[tuple[float, str]]

    width: int = _WIDTH
    height: int = _HEIGHT
    left: int = _LEFT
    floor: int = _HEIGHT - _BOTTOM


def plot(group: Mapping[str, Any]) -> Plot | None:
    """The drawing of a group's curve; None where there is nothing to draw."""
    observed, fitted = group["observed"], group["fitted"]
    if not observed:
        return None
    top = float(max(max(share[2] for share in observed), max(fitted)))
    step = next(one for one in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5) if top <= 5 * one or one == 0.5)
    top = min(1.0, -(-top // step) * step)

    def x(place: int) -> float:
        return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * (place / max(1, len(observed) - 1)), 1)

    def y(share: float) -> float:
        return round(float(_HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * min(1.0, share / top)), 1)

    points = [Point(x(place), y(share[0]), y(share[1]), y(share[2])) for place, share in enumerate(observed)]
    line = " ".join(f"{'M' if not place else 'L'}{x(place)} {y(share)}" for place, share in enumerate(fitted))
    every = max(1, len(observed) // 8)
    across = [(x(place), place + 1) for place in range(0, len(observed), every)]
    upwards = [(y(mark * step), percent(mark * step, 1, 0)) for mark in range(round(top / step) + 1)]
    return Plot(points, line, across, upwards)


def _levels_chart(days: Mapping[date, Mapping[Level, int]]) -> tuple[dict[str, Any], list[str], list[list[Any]]]:
    names = [(level, _(LEVELS[level][0])) for level in Level]
    data = {
        "times": [int(datetime.combine(day, time(12), UTC).timestamp()) for day in days],
        "series": [{"name": name, "values": [found.get(level, 0) for found in days.values()]}
                   for level, name in names],
        "unit": _("contacts"),
    }
    rows = [[day.isoformat(), *(found.get(level, 0) for level, _name in names)]
            for day, found in sorted(days.items(), reverse=True)]
    return data, [_("Day"), *(name for _level, name in names)], rows


def _flows_chart(flows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    def at(month: str) -> int:
        return int(datetime.fromisoformat(f"{month}-15T12:00:00+00:00").timestamp())

    gone = [one["unsubscribed"] + one["bounced"] + one["complained"] for one in flows]
    return {"times": [at(one["month"]) for one in flows], "unit": _("contacts"), "series": [
        {"name": _("Joined"), "values": [one["joined"] for one in flows]}, {"name": _("Gone"), "values": gone}]}


def level_rule(level: Level) -> str:
    """The rule, as the segment builder takes it by its address."""
    return json.dumps({"version": 1, "match": "all", "rules": [
        {"field": "engagement.level", "op": "is", "value": level.value}]})


@routes.get("/engagement")
async def engagement(page: Page) -> web.StreamResponse:
    """From what the job of the day kept; ``group`` chooses whose curve is drawn."""
    store = page.app.store.listening
    kept = await store.report(page.workspace_id)
    if kept is None:
        return page.render("reports/engagement.html", made_at=None)
    made_at, data = kept
    groups = data["groups"]
    asked = page.query("group")
    chosen = int(asked) if asked.isdecimal() and len(asked) < 4 and int(asked) < len(groups) else 0
    days = await store.days(page.workspace_id, (page.app.clock.now() - timedelta(days=_DAYS)).date())
    chart, heads, rows = _levels_chart(days)
    fit = await store.fit(page.workspace_id)
    return page.render(
        "reports/engagement.html", made_at=made_at, data=data, groups=groups, chosen=chosen, plot=plot(groups[chosen]),
        everybody=plot(groups[0]), kinds=KINDS, levels=[(level, *map(_, LEVELS[level][::2])) for level in Level],
        standing=next(reversed(days.values()), {}), chart=chart, heads=heads, rows=rows, level_rule=level_rule,
        flow_chart=_flows_chart(data["flows"]), fit=fit, half_life=half_life_of(fit_of(fit)) if fit else None)
