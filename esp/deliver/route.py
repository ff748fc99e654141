"""Straight to the recipient's servers, or through a smart host: the decision, as a value."""

from dataclasses import dataclass

from esp.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Direct:
    """Ask DNS for the MX of ``domain`` (A-label form)."""

    domain: str


@dataclass(frozen=True, slots=True)
class SmartHost:
    """Everything goes to ``host``:``port``, which takes it from there."""

    host: str
    port: int


def parse_smart_host(text: str) -> SmartHost | None:
    """Read ``host``, ``host:587`` or ``[2001:db8::1]:25``; None where empty.

    Raises SettingsError naming the right spelling.
    """
    text = text.strip()
    if not text:
        return None
    host, colon, port = text.rpartition(":")
    if text.startswith("[") and text.endswith("]"):
        host, colon, port = text, "", ""
    if not colon:
        host, port = host or text, "25"
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise SettingsError(f"delivery.smart_host: {text!r} is not host:port; write for example relay.example.com:587")
    return SmartHost(host.strip("[]"), int(port))


def route(domain: str, smart_host: SmartHost | None) -> Direct | SmartHost:
    """Where mail for ``domain`` goes."""
    return smart_host or Direct(domain)
