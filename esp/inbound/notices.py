"""Mail between machines that is about no delivery of ours: DMARC and TLS reports, receipts of reading."""

import re
from typing import Final

from esp.inbound.message import ReadMessage
from esp.inbound.phrases import Family, Where, said

# RFC 9990: receiver "!" policy-domain "!" begin "!" end; subject "Report Domain: ... Submitter: ... Report-ID: ...".
_DMARC_FILE: Final = re.compile(r"[^!/]+![^!/]+!\d+!\d+(?:![^.]*)?\.(?:xml|zip|gz|xml\.gz)")
_DMARC_SUBJECT: Final = re.compile(
    r"report domain:.{1,200}(?:submitter:|report-id:)|dmarc aggregate report", re.IGNORECASE
)
_PACKED: Final = frozenset(("application/gzip", "application/zip", "application/x-gzip", "application/x-zip-compressed",
                            "text/xml", "application/xml", "application/octet-stream", "application/x-zip"))
_TLS_TYPES: Final = frozenset(("application/tlsrpt+gzip", "application/tlsrpt+json"))


def is_dmarc(message: ReadMessage) -> bool:
    """An aggregate report (RFC 9990)."""
    files = (*message.files, (message.media_type, ""))
    named = any(_DMARC_FILE.fullmatch(name) for _, name in message.files)
    titled = bool(_DMARC_SUBJECT.search(message.subject))
    return named or (titled and any(kind in _PACKED for kind, _ in files))


def is_tls_report(message: ReadMessage) -> bool:
    """An SMTP TLS report (RFC 8460 section 5.3)."""
    return (message.report_type == "tlsrpt" or "tls-report-domain" in message.fields
            or any(kind in _TLS_TYPES for kind, _ in message.files) or message.media_type in _TLS_TYPES)


def is_receipt(message: ReadMessage) -> bool:
    """A disposition notification (RFC 8098): somebody's program says that the mail was shown or deleted."""
    return (message.report_type == "disposition-notification"
            or any(part.media_type.endswith("disposition-notification") for part in message.reports)
            or said(Family.RECEIPT, Where.SUBJECT, message.subject.lower()) is not None)
