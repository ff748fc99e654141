"""How well a prediction ranks and how well it is calibrated. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass


def area_under_curve(scores: Sequence[float], happened: Sequence[bool]) -> float | None:
    """The probability that someone to whom it happened has the higher score than someone to whom it did not; ties count
    half (Mann and Whitney 1947). None where all or none had it happen. Raises ValueError for unequal lengths.
    """
    order = sorted(zip(scores, happened, strict=True), key=lambda pair: pair[0])
    positives = sum(1 for _, it in order if it)
    negatives = len(order) - positives
    if not positives or not negatives:
        return None
    ranks, start = 0.0, 0
    while start < len(order):
        end = start
        while end < len(order) and order[end][0] == order[start][0]:
            end += 1
        ranks += (start + end + 1) / 2 * sum(1 for _, it in order[start:end] if it)
        start = end
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives)


@dataclass(frozen=True, slots=True)
class Tenth:
    """One of the groups, from the lowest prediction to the highest: mean prediction against mean outcome."""

    size: int
    predicted: float
    actual: float

    @property
    def error(self) -> float:
        return abs(self.predicted - self.actual)


def calibration(predicted: Sequence[float], actual: Sequence[float], groups: int = 10) -> list[Tenth]:
    """Predictions in so many groups of equal size by their height, each against what came of it.

    Equal predictions are spread over groups by the order given, so shuffle what was sorted by outcome.
    """
    order = sorted(zip(predicted, actual, strict=True), key=lambda pair: pair[0])
    found = []
    for group in range(groups):
        part = order[group * len(order) // groups:(group + 1) * len(order) // groups]
        if part:
            found.append(Tenth(len(part), sum(said for said, _ in part) / len(part),
                               sum(came for _, came in part) / len(part)))
    return found
