"""How many trials a difference needs, and which difference so many can find. Pure.

The normal approximation for two shares (Fleiss, Levin and Paik 2003, 4.14), with the boundary of ``sequential`` in the
place of z: the chance that a Brownian motion with drift crosses it at any time up to the horizon.
"""

from math import ceil, exp, inf, sqrt
from statistics import NormalDist

from tracking.science.sequential import critical

_NORMAL = NormalDist()


def power(shift: float, error: float = 0.05, every_look: bool = True) -> float:
    """The probability to find a difference of ``shift`` standard errors at the horizon, in its true direction."""
    if not every_look:
        return _NORMAL.cdf(shift - _NORMAL.inv_cdf(1 - error / 2))
    bound = critical(error)
    # Reflection: the paths that crossed and came back. Its exponent is bounded by its second factor.
    back = exp(2 * shift * bound) * _NORMAL.cdf(-shift - bound) if shift * bound < 300 else 0.0
    return min(1.0, _NORMAL.cdf(shift - bound) + back)


def size(base: float, difference: float, wanted: float = 0.8, error: float = 0.05, every_look: bool = True) -> int:
    """How many trials each of two arms needs, to find ``base + difference`` against ``base`` with power ``wanted``.

    ``every_look`` plans the always-valid test; without it, the test that is looked at once. Raises ValueError for
    shares outside of 0 to 1, no difference, or a power that no test has.
    """
    other = base + difference
    if not (0 <= base <= 1 and 0 <= other <= 1 and difference and error < wanted < 1):
        raise ValueError(f"no such test: {base} against {other} with power {wanted}")
    shift = _shift(wanted, error, every_look)
    z = _NORMAL.inv_cdf(1 - error / 2)
    middle = (base + other) / 2
    # Under no difference the variance is the mean share's, under the difference that of each; z weighs the first.
    spread = z / shift * sqrt(2 * middle * (1 - middle))
    spread += (1 - z / shift) * sqrt(base * (1 - base) + other * (1 - other))
    return ceil((shift * spread / difference) ** 2)


def detectable(base: float, trials: int, wanted: float = 0.8, error: float = 0.05,
               every_look: bool = True) -> float | None:
    """The smallest rise above ``base`` that ``trials`` for each arm find with power ``wanted``; None where none is."""
    low, high = 0.0, 1 - base
    if trials < 1 or high <= 0 or size(base, high, wanted, error, every_look) > trials:
        return None
    for _ in range(50):
        middle = (low + high) / 2
        needed = size(base, middle, wanted, error, every_look) if middle > 1e-9 else inf
        low, high = (low, middle) if needed <= trials else (middle, high)
    return high


def _shift(wanted: float, error: float, every_look: bool) -> float:
    low, high = 0.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle, error, every_look) < wanted else (low, middle)
    return high
