"""Plausible people for trying things out: a CSV file of any length, the same for the same seed."""

import random
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Final

from esp.audience.csv_export import csv_line


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FIRST: Final = _words(
    "Budi Siti Agus Dewi Eko Rina Joko Sri Hendra Ayu Rudi Maya Bambang Putri Dedi Wulan Fajar Intan Yusuf Lestari "
    "Made Ketut Wayan Komang Nur Aisyah Rizky Dian Arief Ratna Gilang Citra Taufik Melati Iwan Kartika "
    "Emma Liam Noah Olivia Zoë José María Chloé Jürgen Søren Łukasz İpek Anaïs Björk Wei Yuki Hana Priya Arjun "
    "Fatima Omar Ngozi Kwame Ana João Renée Siobhán Mateo Ines"
)
_LAST: Final = _words(
    "Santoso Wijaya Susanto Halim Saputra Lestari Nugroho Kusuma Hidayat Siregar Simanjuntak Nasution Pratama Gunawan "
    "Setiawan Hartono Wibowo Suharto Maharani Permata Purnomo Rahman Hakim Tanjung Lubis Smith Müller García O'Brien "
    "Ng Dvořák Nguyễn Tanaka Kim Okafor Silva Rossi Jensen Kowalski Yılmaz Dubois Larsson"
)
_CITIES: Final = (
    ("Jakarta", "ID", 30), ("Surabaya", "ID", 12), ("Bandung", "ID", 12), ("Medan", "ID", 8), ("Semarang", "ID", 6),
    ("Makassar", "ID", 5), ("Yogyakarta", "ID", 6), ("Denpasar", "ID", 4), ("Palembang", "ID", 3), ("Solo", "ID", 3),
    ("Singapore", "SG", 3), ("Kuala Lumpur", "MY", 2), ("Tokyo", "JP", 1), ("Berlin", "DE", 1), ("London", "GB", 2),
    ("São Paulo", "BR", 1), ("Sydney", "AU", 1),
)
_PLANS: Final = (("free", 70), ("basic", 20), ("pro", 9), ("team", 1))
HEADER: Final = ("email", "first name", "last name", "city", "country", "birth date", "plan", "points")


def _plain(name: str) -> str:
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return "".join(c for c in ascii_name if c.isalnum()) or "x"


def contacts_csv(count: int, domains: Mapping[str, float], seed: int = 1) -> Iterator[str]:
    """A header and ``count`` lines, each person with an address of their own, domains by the weights of ``domains``.

    About one in ten has no first name and one in six no city: fallbacks of merge fields get something to do.
    """
    dice = random.Random(seed)  # noqa: S311 - plausible, not secret
    names, weights = list(domains), list(domains.values())
    cities, shares = [(city, country) for city, country, _ in _CITIES], [share for *_, share in _CITIES]
    plans, plan_shares = [plan for plan, _ in _PLANS], [share for _, share in _PLANS]
    yield csv_line(HEADER)
    for number in range(1, count + 1):
        first, last = dice.choice(_FIRST), dice.choice(_LAST)
        domain = dice.choices(names, weights)[0]
        city, country = dice.choices(cities, shares)[0]
        born = f"{dice.randint(1950, 2006)}-{dice.randint(1, 12):02}-{dice.randint(1, 28):02}"
        yield csv_line((
            f"{_plain(first)}.{_plain(last)}{number}@{domain}",
            "" if dice.random() < 0.1 else first, last,
            "" if dice.random() < 1 / 6 else city, country,
            born if dice.random() < 0.6 else "",
            dice.choices(plans, plan_shares)[0], int(dice.expovariate(1 / 400)),
        ))
