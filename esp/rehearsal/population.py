"""The people of a demonstration as rows of a CSV file: made up, spread over the providers by their shares."""

from collections.abc import Iterator, Sequence
from typing import Final

from esp.rehearsal.people import fraction
from esp.rehearsal.providers import Provider

_FIRST: Final = (
    "Adi", "Ayu", "Bagus", "Bima", "Citra", "Dewi", "Dian", "Eka", "Fajar", "Fitri", "Galih", "Gita", "Hana", "Indra",
    "Intan", "Joko", "Kartika", "Lestari", "Made", "Maya", "Nadia", "Nur", "Putra", "Putri", "Rani", "Ratna", "Rizki",
    "Sari", "Sinta", "Tari", "Teguh", "Wayan", "Wulan", "Yudi", "Amelia", "Ben", "Chloé", "Jürgen", "Mia", "Noah",
)
_LAST: Final = (
    "Anggraini", "Gunawan", "Halim", "Hartono", "Hidayat", "Kusuma", "Lubis", "Maharani", "Nugroho", "Pratama",
    "Purnama", "Rahayu", "Saputra", "Setiawan", "Siregar", "Susanto", "Suryani", "Utami", "Wibowo", "Wijaya",
)
_CITIES: Final = (
    "Jakarta", "Bandung", "Surabaya", "Medan", "Yogyakarta", "Semarang", "Makassar", "Denpasar", "Malang", "Bogor", "",
)
_PLAIN: Final = str.maketrans({"é": "e", "ü": "u"})


def csv_rows(seed: str, count: int, providers: Sequence[Provider]) -> Iterator[str]:
    """A header and ``count`` rows. Some people have no first name or no city, for that is how lists are."""
    yield "email,first name,last name,city,country,language\n"
    for number in range(count):
        key = f"{number}"
        first, last = _choose(seed, key, "first name", _FIRST), _choose(seed, key, "last name", _LAST)
        provider = _provider(fraction(seed, key, "provider"), providers)
        address = f"{first}.{last}.{number}".lower().translate(_PLAIN) + f"@{provider.domain}"
        known = first if fraction(seed, key, "named") < 0.92 else ""
        language = "id" if fraction(seed, key, "language") < 0.7 else "en"
        yield f"{address},{known},{last},{_choose(seed, key, 'city', _CITIES)},ID,{language}\n"


def _choose(seed: str, key: str, question: str, among: Sequence[str]) -> str:
    return among[int(fraction(seed, key, question) * len(among))]


def _provider(place: float, providers: Sequence[Provider]) -> Provider:
    for provider in providers:
        if place < provider.share:
            return provider
        place -= provider.share
    return providers[0]
