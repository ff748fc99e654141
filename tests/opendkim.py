"""OpenDKIM's library (Debian's libopendkim11, which opendkim-tools brings), called in place and without DNS.

It verifies RSA and Ed25519 (RFC 8463), which Debian 12's Mail::DKIM and its ``opendkim-testmsg`` in front of real DNS
cannot do for a test's own keys. The numbers and prototypes are those of its public header, ``dkim.h``.
"""

import ctypes
from collections.abc import Mapping
from functools import cache
from typing import Any

_OK, _NO_KEY = 0, 3  # DKIM_STAT_*
_PASSED = 0x04  # DKIM_SIGFLAG_PASSED
_BODY_MATCHES = 0  # DKIM_SIGBH_MATCH

_handle = ctypes.c_void_p
_LOOKUP = ctypes.CFUNCTYPE(ctypes.c_int, _handle, _handle, _handle, ctypes.c_size_t)
_PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "dkim_init": (_handle, [_handle, _handle]),
    "dkim_set_key_lookup": (ctypes.c_int, [_handle, _LOOKUP]),
    "dkim_verify": (_handle, [_handle, ctypes.c_char_p, _handle, ctypes.POINTER(ctypes.c_int)]),
    "dkim_chunk": (ctypes.c_int, [_handle, ctypes.c_char_p, ctypes.c_size_t]),
    "dkim_eom": (ctypes.c_int, [_handle, _handle]),
    "dkim_free": (ctypes.c_int, [_handle]),
    "dkim_getsiglist": (
        ctypes.c_int, [_handle, ctypes.POINTER(ctypes.POINTER(_handle)), ctypes.POINTER(ctypes.c_int)]),
    "dkim_sig_process": (ctypes.c_int, [_handle, _handle]),
    "dkim_sig_getflags": (ctypes.c_uint, [_handle]),
    "dkim_sig_getbh": (ctypes.c_int, [_handle]),
    "dkim_sig_getselector": (ctypes.c_char_p, [_handle]),
    "dkim_sig_getdomain": (ctypes.c_char_p, [_handle]),
}


class OpenDkim:
    """One handle of the library, whose DNS is a mapping."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL("libopendkim.so.11")
        except OSError as error:
            raise RuntimeError("libopendkim11 is missing; `make test-needs` installs it with opendkim-tools") from error
        for name, (result, arguments) in _PROTOTYPES.items():
            function = getattr(self._library, name)
            function.restype, function.argtypes = result, arguments
        self._records: Mapping[str, str] = {}
        self._lookup = _LOOKUP(self._published)  # must live as long as the handle
        self._handle = self._library.dkim_init(None, None)
        self._library.dkim_set_key_lookup(self._handle, self._lookup)

    def _published(self, _message: int, signature: int, buffer: int, size: int) -> int:
        selector = self._library.dkim_sig_getselector(signature).decode()
        domain = self._library.dkim_sig_getdomain(signature).decode()
        text = self._records.get(f"{selector}._domainkey.{domain}", "").encode()
        if not text or len(text) >= size:
            return _NO_KEY
        ctypes.memmove(buffer, text + b"\0", len(text) + 1)
        return _OK

    def results(self, message: bytes, records: Mapping[str, str]) -> list[bool]:
        """Whether each signature that the library can read, from the top, is valid; none where it is no message."""
        library, self._records = self._library, records
        status = ctypes.c_int()
        job = library.dkim_verify(self._handle, b"test", None, ctypes.byref(status))
        assert job, status.value
        try:
            if library.dkim_chunk(job, message, len(message)) != _OK or library.dkim_chunk(job, b"", 0) != _OK:
                return []
            library.dkim_eom(job, None)
            signatures, count = ctypes.POINTER(_handle)(), ctypes.c_int()
            if library.dkim_getsiglist(job, ctypes.byref(signatures), ctypes.byref(count)) != _OK:
                return []
            return [self._valid(job, signatures[index]) for index in range(count.value)]
        finally:
            library.dkim_free(job)

    def _valid(self, job: int, signature: Any) -> bool:
        self._library.dkim_sig_process(job, signature)  # the end of the message stops at the first that passes
        passed = bool(self._library.dkim_sig_getflags(signature) & _PASSED)
        return passed and self._library.dkim_sig_getbh(signature) == _BODY_MATCHES


@cache
def _shared() -> OpenDkim:
    return OpenDkim()


def opendkim_results(message: bytes, records: Mapping[str, str]) -> list[bool]:
    """Whether each signature, from the top, is valid. ``records`` maps ``s._domainkey.d`` to the TXT record."""
    return _shared().results(message, records)
