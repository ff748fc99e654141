"""Our own SMTP client: pipelined on kept connections, since sending is what we are for."""

from esp.adapters.smtp.client import SmtpTransport
from esp.adapters.smtp.session import SmtpSession
from esp.adapters.smtp.timeouts import Timeouts

__all__ = ["SmtpSession", "SmtpTransport", "Timeouts"]
