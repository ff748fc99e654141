"""Straight to the recipient's servers, or through a smart host: the decision, as a value."""

from dataclasses import dataclass
from typing import Final

from esp.errors import SettingsError
from esp.ports.network import Login, TlsPolicy

_IMPLICIT_PORT: Final = 465  # RFC 8314 section 3.3


@dataclass(frozen=True, slots=True)
class Direct:
    """Ask DNS for the MX of ``domain`` (A-label form)."""

    domain: str


@dataclass(frozen=True, slots=True)
class SmartHost:
    """Everything goes to ``host``:``port``, which takes it from there and may want to know who we are."""

    host: str
    port: int
    tls: TlsPolicy = TlsPolicy.OPPORTUNISTIC
    login: Login | None = None


def parse_smart_host(
    text: str, tls: TlsPolicy = TlsPolicy.OPPORTUNISTIC, user: str = "", password: str = ""
) -> SmartHost | None:
    """Read ``host``, ``host:587`` or ``[2001:db8::1]:25``; None where empty.

    Raises SettingsError naming the right spelling, or what does not go together.
    """
    text = text.strip()
    if not text:
        if user or password:
            raise SettingsError("delivery.smart_host_user or smart_host_password is set, delivery.smart_host is not.")
        return None
    host, port = _host_and_port(text)
    if port == _IMPLICIT_PORT and tls is not TlsPolicy.IMPLICIT:
        raise SettingsError('delivery.smart_host: port 465 means TLS from the start; set smart_host_tls = "implicit"')
    login = _login(tls, user, password)
    if login is not None and tls is TlsPolicy.OPPORTUNISTIC:
        # Any certificate will do where the alternative is none (RFC 7435), but a password that is given to whoever
        # answers is given away. Who has a relay with a certificate of its own making says "required".
        tls = TlsPolicy.VERIFIED
    return SmartHost(host, port, tls, login)


def _login(tls: TlsPolicy, user: str, password: str) -> Login | None:
    if not user and not password:
        return None
    if not user or not password:
        raise SettingsError("delivery.smart_host_user and smart_host_password go together: one of them is empty.")
    if tls is TlsPolicy.NONE:
        raise SettingsError(
            'delivery.smart_host_tls is "none", and a password is never sent in the clear; take "verified", '
            '"implicit", or "required" where the relay has a certificate of its own making.'
        )
    # RFC 4616 section 2: UTF-8 without NUL. Octets that are no UTF-8 come from the environment as surrogates.
    if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in user + password):
        raise SettingsError("delivery.smart_host_user or delivery.smart_host_password is not UTF-8, or holds a NUL.")
    return Login(user, password)


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if text.startswith("[") and text.endswith("]"):
        host, colon, port = text, "", ""
    if not colon:
        host, port = host or text, "25"
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise SettingsError(f"delivery.smart_host: {text!r} is not host:port; write for example relay.example.com:587")
    return host.strip("[]"), int(port)


def route(domain: str, smart_host: SmartHost | None) -> Direct | SmartHost:
    """Where mail for ``domain`` goes."""
    return smart_host or Direct(domain)
