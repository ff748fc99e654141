"""Our ledger against the world's own log: every figure, and the people behind it, must agree."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from esp.ports.reports import Figures, Metric
from esp.rehearsal.providers import PROVIDERS

_NAMED: Final = 5
_OFFER_TLS: Final = frozenset(provider.domain for provider in PROVIDERS if provider.behaviour.starttls)
COMPARED: Final = (Metric.DELIVERED, Metric.BOUNCED, Metric.SUPPRESSED, Metric.EXPIRED, Metric.CANCELLED,
                   Metric.OPENED, Metric.CLICKED, Metric.UNSUBSCRIBED)


@dataclass(frozen=True, slots=True)
class LedgerView:
    """What our database says: ``figures`` from the rollups, ``people`` (addresses) row by row; ``deferrals`` counts how
    often servers put us off, ``expected`` how many people the audience has."""

    expected: int
    figures: Figures
    deferrals: int
    people: Mapping[Metric, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Account:
    """``figures`` is what ``merpati demo --json`` prints; ``disagreements`` are sentences, none of them good."""

    figures: Mapping[str, int]
    disagreements: tuple[str, ...]


def settle(ledger: LedgerView, report: Mapping[str, Any]) -> Account:
    """Compare. ``report`` is ``World.report()``: what was seen on the wire."""
    seen: Mapping[str, Mapping[str, Any]] = report["people"]
    taken = {address for address, person in seen.items() if person["copies"]}
    failed = {address for address, person in seen.items() if person["answered"] == "failed"}
    unknown = {address for address, person in seen.items() if person["unknown"]}
    copies = sum(person["copies"] for person in seen.values())
    signed = sum(person["dkim_valid"] for person in seen.values())
    duplicates = sum(max(0, person["copies"] - 1) for person in seen.values())
    put_off = sum(person["greylisted"] for person in seen.values())
    figures, people = ledger.figures, ledger.people
    ended = frozenset[str]().union(*(people[metric] for metric in COMPARED[:5]))
    missed = ledger.expected - len(ended) + len(people[Metric.DELIVERED] - taken)

    found: list[str] = []
    found += _count("targeted", figures.targeted, ledger.expected, "people in the audience")
    for metric in COMPARED:
        found += _count(f"{metric} (rollup)", getattr(figures, metric.value), len(people[metric]), "rows")
    found += _people("delivered", people[Metric.DELIVERED], taken - failed, "taken by a provider and not sent back")
    found += _people("bounced", people[Metric.BOUNCED], unknown | failed, "refused or sent back by a provider")
    found += _people("suppressed, but written to", people[Metric.SUPPRESSED] & seen.keys(), frozenset(), "allowed")
    for metric, action in ((Metric.OPENED, "opened"), (Metric.CLICKED, "clicked"),
                           (Metric.UNSUBSCRIBED, "unsubscribed")):
        did = {address for address, person in seen.items() if person[action]}
        found += _people(action, people[metric], did, f"who {action} in the world")
    found += _count("signatures that verify", signed, copies, "copies taken")
    for domain in _OFFER_TLS & report["providers"].keys():
        log = report["providers"][domain]
        found += _count(f"encrypted to {domain}", log["encrypted"], log["accepted"], "mails; it offers STARTTLS")
    if ledger.deferrals < put_off:
        found.append(f"deferred: the ledger has {ledger.deferrals}, but providers put us off {put_off} times")
    if duplicates:
        found.append(f"duplicates: providers took {duplicates} copies too many")
    if missed:
        found.append(f"missed: {missed} people have neither the mail nor a reason")
    if report["failures"]:
        found.append(f"{report['failures']} of the people's and scanners' requests failed")
    found += report["complaints"]
    return Account({
        "targeted": figures.targeted, "delivered": figures.delivered, "deferred": ledger.deferrals,
        "bounced": figures.bounced, "suppressed": figures.suppressed, "opened": figures.opened,
        "clicked": figures.clicked, "unsubscribed": figures.unsubscribed, "dkim_valid": signed,
        "duplicates": duplicates, "missed": missed,
    }, tuple(found))


def _count(what: str, ours: int, theirs: int, of: str) -> Iterable[str]:
    if ours != theirs:
        yield f"{what}: {ours}, but there are {theirs} {of}"


def _people(what: str, ours: Iterable[str], theirs: Iterable[str], of: str) -> Iterable[str]:
    mine, other = set(ours), set(theirs)
    for difference, words in ((mine - other, f"are {what} in the ledger, but not {of}"),
                              (other - mine, f"are {of}, but not {what} in the ledger")):
        if difference:
            named = ", ".join(sorted(difference)[:_NAMED])
            yield f"{what}: {len(difference)} {words}: {named}{' ...' if len(difference) > _NAMED else ''}"
