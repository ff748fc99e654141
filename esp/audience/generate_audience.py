"""A large audience for measuring: a CSV file of some 129 octets a person, with a few of fifty custom fields each."""

import random
from collections.abc import Iterator
from typing import Final

HEADER: Final = "email,first_name,last_name,city,country,birth_date,attributes\r\n"
_CITIES: Final = ("Jakarta", "Surabaya", "Bandung", "Medan", "Semarang", "Makassar", "Denpasar", "Malang", "Solo")
_FIRST: Final = ("Budi", "Siti", "Agus", "Dewi", "Eko", "Rina", "Joko", "Sri", "Hendra", "Ayu", "Rudi", "Maya", "Putri")
_LAST: Final = ("Santoso", "Wijaya", "Halim", "Lestari", "Nugroho", "Kusuma", "Hidayat", "Siregar", "Nasution", "Lubis")
_PLANS: Final = ("free", "basic", "pro", "team")


def audience_csv(count: int, seed: int = 1) -> Iterator[str]:
    """The header, then the people in pieces of a thousand lines; the same for the same seed.

    Everybody has a plan and points; beside them one of forty-eight fields each, so that together there are fifty.
    """
    dice = random.Random(seed)  # noqa: S311 - plausible, not secret
    pick, whole = dice.choice, dice.randrange
    yield HEADER
    lines: list[str] = []
    for number in range(count):
        first, last = pick(_FIRST), pick(_LAST)
        born = f"{1950 + whole(57)}-{1 + whole(12):02}-{1 + whole(28):02}" if number % 3 else ""
        lines.append(
            f"{first.lower()}.{last.lower()}{whole(10_000_000)}.{number}@mail{whole(40)}.example,{first},{last},"
            f'{pick(_CITIES)},ID,{born},"{{""plan"":""{pick(_PLANS)}"",""points"":{whole(10_000)},'
            f'""f{whole(48):02}"":""v{whole(100)}""}}"\r\n')
        if len(lines) == 1000:
            yield "".join(lines)
            lines.clear()
    yield "".join(lines)
