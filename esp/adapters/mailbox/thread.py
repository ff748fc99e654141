"""What both protocols share: a blocking library called in one thread, its errors said in a person's words."""

import asyncio
import imaplib
import poplib
import re
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol, TypeVar

from esp.ports.pickup import MailboxError

SILENCE: Final = 60.0  # seconds without an octet before a server counts as gone
HAUL_OCTETS: Final = 8_000_000  # a haul is at most about that much in memory
HAUL_MESSAGES: Final = 50
_PRINTABLE: Final = re.compile(r"[^ -~]+")
T = TypeVar("T")


class Connects(Protocol):
    """A way to a server whose address was checked."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    def connect(self, timeout: float | None) -> socket.socket: ...


class Threaded:
    """Runs a session's blocking calls one after the other in its own thread."""

    def __init__(self, thread: ThreadPoolExecutor, host: str) -> None:
        self._thread = thread
        self._host = host

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except MailboxError:
            raise
        except ssl.SSLCertVerificationError as error:
            raise MailboxError(
                f"{self._host} shows a certificate that cannot be trusted: {error.verify_message}.") from None
        except ssl.SSLError as error:
            raise MailboxError(
                f"No encrypted connection to {self._host}: {error.reason or 'the other side does not speak TLS'}. "
                "Is the port the one for this kind of security?") from None
        except TimeoutError:
            raise MailboxError(f"{self._host} does not answer.") from None
        except (imaplib.IMAP4.error, poplib.error_proto) as error:
            raise MailboxError(f"{self._host} says: {plain(error)}") from None
        except (OSError, EOFError) as error:
            reason = getattr(error, "strerror", None) or "the connection ended"
            raise MailboxError(f"{self._host} cannot be reached: {reason}.") from None
        except Exception as error:  # whatever a library makes of a hostile server's words
            raise MailboxError(f"{self._host} says what nobody understands ({type(error).__name__}).") from None


def plain(error: Exception) -> str:
    """A server's own words, short and on one line."""
    said = error.args[0] if error.args else ""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return _PRINTABLE.sub(" ", text).strip()[:200] or "no"
