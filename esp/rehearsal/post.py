"""A provider's outgoing mail: one message by plain SMTP to the MX that DNS names."""

import asyncio
from contextlib import suppress

from esp.rehearsal.dns_server import Zone


class NotTakenError(Exception):
    """The other side did not say 250; the text is its reply."""


async def post(zone: Zone, port: int, source: str, hello: str, recipient: str, raw: bytes) -> None:
    """Send ``raw`` to ``recipient`` with the null sender (RFC 5321 section 4.5.5); raises NotTakenError or OSError."""
    addresses = zone.mail_addresses(recipient.rpartition("@")[2])
    if not addresses:
        raise NotTakenError(f"no MX for {recipient}")
    reader, writer = await asyncio.open_connection(addresses[0], port, local_addr=(source, 0))
    try:
        async with asyncio.timeout(30):
            await _expect(reader, "220")
            for line, code in ((f"EHLO {hello}", "250"), ("MAIL FROM:<>", "250"), (f"RCPT TO:<{recipient}>", "250"),
                               ("DATA", "354")):
                writer.write(line.encode() + b"\r\n")
                await _expect(reader, code)
            writer.write((b"\r\n" + raw).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n")
            await _expect(reader, "250")
            writer.write(b"QUIT\r\n")
    except (TimeoutError, asyncio.IncompleteReadError) as error:
        raise NotTakenError(type(error).__name__) from error
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _expect(reader: asyncio.StreamReader, code: str) -> None:
    while True:
        line = (await reader.readuntil(b"\r\n")).decode("ascii", "replace").rstrip()
        if line[3:4] != "-":
            break
    if not line.startswith(code):
        raise NotTakenError(line)
