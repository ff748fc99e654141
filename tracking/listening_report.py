"""The engagement report: how groups of contacts decay, how often is too often, what comes and what goes.

Made once a day and kept as a value, so that its page costs nothing. Curves are drawn from a sample of contacts with
all their mails, which is as good as everybody: 20,000 people know a share to half a percentage point.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import exp, log, sqrt
from typing import Any, Final

from esp.app import App
from esp.ports.listening import Band, Flow, Sampled
from tracking.aside import aside
from tracking.science.decay_curve import Curve, curve
from tracking.science.proportions import Z95, Interval, wilson

SAMPLE: Final = 20_000
MONTHS: Final = 24
FLOW_MONTHS: Final = 13
#: Mails a month: the upper ends of the groups by which frequency is looked at.
BANDS: Final = (1.5, 2.5, 4.5, 8.5, 16.5)
_FEWEST: Final = 50  # people of a group, below which its curve would be noise
_GROUPS: Final = 8
_MONTH: Final = timedelta(days=30.44)
_YEAR: Final = 365.25 * 86_400


async def make_report(app: App, workspace_id: int) -> Mapping[str, Any]:
    """Make and keep a workspace's report; returns it."""
    store, now = app.store.listening, app.clock.now()
    people = await store.sample(workspace_id, SAMPLE)
    names = {one.id: one.name for one in await app.store.contacts.lists(workspace_id)}
    since = _months_ago(now, FLOW_MONTHS)
    flows = await store.flows(workspace_id, since)
    data = {
        "sampled": len(people),
        "groups": await aside(groups, people, names),
        "months": by_month(people),
        "bands": bands(await store.bands(workspace_id, BANDS)),
        "flows": [one._asdict() for one in every_month(flows, now)],
        "loss": loss(flows, await store.population(workspace_id, since), (now - since).total_seconds()),
    }
    await store.keep_report(workspace_id, now, data)
    return data


def _months_ago(now: datetime, months: int) -> datetime:
    """The beginning of the month so many months before."""
    number = now.year * 12 + now.month - 1 - months
    return now.replace(year=number // 12, month=number % 12 + 1, day=1, hour=0, minute=0, second=0, microsecond=0)


def loss(flows: Sequence[Flow], before: int, seconds: float) -> dict[str, Any] | None:
    """How fast addresses are lost: those that left, bounced or complained, for each year that a contact was there.

    ``yearly`` is the share lost in a year with its bounds, ``half_life`` in months. ``before``: contacts there at the
    beginning; None where nothing can be said. Pure.
    """
    gone = sum(one.unsubscribed + one.bounced + one.complained for one in flows)
    joined = sum(one.joined for one in flows)
    years = (before + joined / 2) * seconds / _YEAR
    if years < 1:
        return None

    def yearly(many: float) -> float:
        return 1 - exp(-many / years)

    # Events that come by themselves: the bounds of a Poisson count, on its square root.
    bounds = [max(0.0, sqrt(gone + 0.25) + side * Z95 / 2) ** 2 for side in (-1, 1)]
    return {"gone": gone, "yearly": [round(yearly(many), 5) for many in (gone, *bounds)],
            "half_life": round(12 * log(2) * years / gone, 2) if gone else None}


def every_month(flows: Sequence[Flow], now: datetime) -> list[Flow]:
    """With the months in which nothing happened, from the first in which something did until ``now``. Pure."""
    if not flows:
        return []
    known = {one.month: one for one in flows}
    first, last = (int(text[:4]) * 12 + int(text[5:]) - 1 for text in (flows[0].month, f"{now:%Y-%m}"))
    months = [f"{number // 12:04}-{number % 12 + 1:02}" for number in range(first, max(first, last) + 1)]
    return [known.get(month) or Flow(month, 0, 0, 0, 0, 0, 0) for month in months]


# ---- groups ----------------------------------------------------------------------------------------------------------


def groups(people: Sequence[Sampled], lists: Mapping[int, str]) -> list[dict[str, Any]]:
    """Everybody, then by month of subscription, by source and by list: the largest of each, with curve and half-life.

    Each is ``kind`` (all, month, source, list), ``name``, and what ``_shown`` tells. Pure.
    """
    found = [{"kind": "all", "name": "", **_shown(_curve(people))}]
    for kind, keys in (("month", _month_of), ("source", _source_of), ("list", _lists_of)):
        members: dict[str, list[Sampled]] = defaultdict(list)
        for one in people:
            for key in keys(one, lists):
                members[key].append(one)
        enough = [(key, some) for key, some in members.items() if len(some) >= _FEWEST]
        largest = sorted(enough, key=lambda one: -len(one[1]))[:_GROUPS]
        if kind == "month":
            largest = sorted(enough)[-_GROUPS:]
        found += [{"kind": kind, "name": key, **_shown(_curve(some))} for key, some in largest]
    return found


def _month_of(one: Sampled, _lists: Mapping[int, str]) -> Sequence[str]:
    return (f"{one.since:%Y-%m}",)


def _source_of(one: Sampled, _lists: Mapping[int, str]) -> Sequence[str]:
    return (one.source,) if one.source else ()


def _lists_of(one: Sampled, lists: Mapping[int, str]) -> Sequence[str]:
    return [lists[number] for number in one.lists if number in lists]


def _curve(people: Sequence[Sampled]) -> Curve:
    return curve([[responded for _, responded in one.mails] for one in people])


def _shown(it: Curve) -> dict[str, Any]:
    return {
        "people": it.people, "observed": [_three(share) for share in it.observed], "trials": list(it.trials),
        "fitted": [round(share, 5) for share in it.fitted], "half_life": _three(it.half_life) if it.half_life else None,
    }


def _three(it: Interval) -> list[float]:
    return [round(it.estimate, 5), round(it.low, 5), round(it.high, 5)]


def by_month(people: Sequence[Sampled]) -> list[dict[str, Any]]:
    """Response by whole months since subscription: mails, responses, and the share with its bounds. Pure."""
    mails, responses = [0] * MONTHS, [0] * MONTHS
    for one in people:
        for at, responded in one.mails:
            month = int((at - one.since) / _MONTH)
            if 0 <= month < MONTHS:
                mails[month] += 1
                responses[month] += responded
    found = []
    for month in range(MONTHS):
        share = wilson(responses[month], mails[month])
        if share and mails[month] >= _FEWEST:
            found.append({"month": month, "mails": mails[month], "responses": responses[month], "share": _three(share)})
    return found


def bands(found: Sequence[Band]) -> list[dict[str, Any]]:
    """By how often people are written to: the share of mails answered, and complaints. Pure."""
    ends = (0.0, *BANDS, None)
    told = []
    for number, band in enumerate(found):
        share = wilson(band.responses, band.opportunities)
        told.append({"from": ends[number], "to": ends[number + 1], "people": band.people, "mails": band.opportunities,
                     "responses": band.responses, "complaints": band.complaints,
                     "share": _three(share) if share else None})
    return told
