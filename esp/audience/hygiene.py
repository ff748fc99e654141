"""What an address alone says about its use: a slip of the keyboard, a role instead of a person, a throw-away domain."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

# Where most people of the world and of Indonesia have their mail; a workspace's own frequent domains are added.
KNOWN_DOMAINS: Final = frozenset((
    "gmail.com", "googlemail.com", "yahoo.com", "yahoo.co.id", "ymail.com", "rocketmail.com", "hotmail.com",
    "hotmail.co.uk", "outlook.com", "outlook.co.id", "live.com", "msn.com", "icloud.com", "me.com", "mac.com",
    "aol.com", "proton.me", "protonmail.com", "gmx.de", "gmx.net", "gmx.com", "web.de", "t-online.de",
    "yandex.ru", "yandex.com", "mail.ru", "qq.com", "163.com", "126.com", "zoho.com", "telkom.net",
    "comcast.net", "orange.fr", "free.fr", "laposte.net", "libero.it", "yahoo.co.uk", "yahoo.fr", "yahoo.de",
    "yahoo.co.jp", "btinternet.com",
))
# RFC 2142 and what companies use besides: mail to them reaches a desk and not somebody who subscribed.
ROLES: Final = frozenset((
    "abuse", "accounting", "accounts", "admin", "administrator", "billing", "contact", "cs", "customerservice",
    "finance", "ftp", "help", "helpdesk", "hostmaster", "hr", "hrd", "info", "it", "jobs", "kontak", "list",
    "list-request", "mail", "mailer-daemon", "marketing", "media", "news", "no-reply", "noc", "noreply",
    "office", "operations", "order", "orders", "postmaster", "press", "privacy", "purchasing", "redaksi",
    "root", "sales", "security", "service", "spam", "subscribe", "support", "sysadmin", "tech",
    "undisclosed-recipients", "unsubscribe", "usenet", "uucp", "webmaster", "www",
))
_FREQUENT: Final = 50  # people of a workspace who make a domain a known one
_RARE_SHARE: Final = 20  # a slip is at least that many times rarer than what it was meant to be
_FEW: Final = 5
# One letter from a well-known name, and real: nobody's slip.
_REAL_NEIGHBOURS: Final = frozenset((
    "mail.com", "email.com", "gmx.at", "gmx.ch", "gmx.us", "live.fr", "live.nl", "live.ca", "live.in",
    "hotmail.fr", "hotmail.de", "hotmail.it", "hotmail.es", "yahoo.ca", "yahoo.in", "yahoo.it", "yahoo.es",
    "outlook.fr", "outlook.de", "outlook.es", "outlook.it", "outlook.sa", "outlook.jp", "yandex.by",
    "yandex.kz", "yandex.ua", "yandex.fr", "mail.de", "mail.ee", "ymail.ne.jp", "zoho.eu", "zoho.in", "web.id",
    "orange.es", "libero.eu", "proton.ch",
))
_GMAIL: Final = ("gmail.com", "googlemail.com")


def is_role(email_key: str) -> bool:
    """Whether the address names a function, such as info@ or billing+web@."""
    local = email_key.rpartition("@")[0].partition("+")[0]
    return local in ROLES or local.replace(".", "").replace("_", "") in ROLES


def is_disposable(domain: str, disposable: Collection[str]) -> bool:
    """Whether the domain, or one that it lies under, is of a service for throw-away addresses."""
    parts = domain.split(".")
    return any(".".join(parts[start:]) in disposable for start in range(len(parts) - 1))


def folded(email_key: str) -> str:
    """The mailbox behind the spellings: at Gmail dots mean nothing and a plus begins a label."""
    local, _, domain = email_key.rpartition("@")
    if domain not in _GMAIL:
        return email_key
    return local.partition("+")[0].replace(".", "") + "@gmail.com"


def suggestions(domains: Mapping[str, int]) -> dict[str, str]:
    """Mistyped domain -> the one that was surely meant, from how many people each domain has.

    Meant is a well-known domain, or one of the workspace's own frequent ones, that is one slip away (a letter left
    out, doubled, changed, or two swapped) and much more frequent here; the ending alone may also be slipped (.con).
    """
    frequent = {domain for domain, n in domains.items() if n >= _FREQUENT}
    targets = KNOWN_DOMAINS | frequent
    by_slip: dict[str, set[str]] = {}
    for target in targets:
        for form in _deletions(target):
            by_slip.setdefault(form, set()).add(target)
    found: dict[str, str] = {}
    most = max(domains.values(), default=0)
    for domain, count in domains.items():
        common = domain in frequent and count * _RARE_SHARE > most
        if domain in KNOWN_DOMAINS or domain in _REAL_NEIGHBOURS or common:
            continue
        near = {target for form in _deletions(domain) for target in by_slip.get(form, ())} - {domain}
        meant = [target for target in near if _one_slip(domain, target) and _plausible(domain, target, count, domains)]
        if meant:
            found[domain] = max(meant, key=lambda target: (domains.get(target, 0), target))
    return found


def _plausible(domain: str, target: str, count: int, domains: Mapping[str, int]) -> bool:
    """Short names have many true neighbours (gmx.de, gmx.net; me.com, mac.com): those must be much more frequent."""
    name, other = domain.partition(".")[0], target.partition(".")[0]
    if target in KNOWN_DOMAINS and min(len(name), len(other)) >= 5 and domains.get(target, 0) + _FEW >= count:
        return True
    return domains.get(target, 0) >= max(_FREQUENT, count * _RARE_SHARE) and len(target) >= 7


def _deletions(text: str) -> Iterable[str]:
    """The text and every form of it with one letter less: two texts one slip apart share one of them."""
    yield text
    for place in range(len(text)):
        yield text[:place] + text[place + 1:]


def _one_slip(a: str, b: str) -> bool:
    """Whether one insertion, deletion, change or swap of neighbours makes ``b`` of ``a`` (Damerau-Levenshtein 1)."""
    if a == b or abs(len(a) - len(b)) > 1:
        return False
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    rest, other = a[start:], b[start:]
    if len(rest) == len(other):
        return rest[1:] == other[1:] or (rest[1::-1] == other[:2] and rest[2:] == other[2:])
    longer, shorter = (rest, other) if len(rest) > len(other) else (other, rest)
    return longer[1:] == shorter
