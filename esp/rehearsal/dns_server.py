"""The rehearsal's DNS: one zone of everything, answered over UDP and TCP on loopback."""

import asyncio
import struct
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from esp.rehearsal.dns_wire import Record, RecordType, ResponseCode, decode_question, encode_answer

_CHAIN: Final = 8


class Zone:
    """All records there are. What is not in it does not exist."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._records: defaultdict[str, list[Record]] = defaultdict(list)
        for record in records:
            self.publish(record)

    def publish(self, record: Record) -> None:
        """Add a record; the same one twice is one."""
        name = record.name.rstrip(".").lower()
        if record not in self._records[name]:
            self._records[name].append(record)

    def lookup(self, name: str, kind: int) -> tuple[list[Record], ResponseCode]:
        """Records of ``kind`` at ``name``, behind the CNAMEs that lead to them."""
        found: list[Record] = []
        for _ in range(_CHAIN):
            here = self._records.get(name.rstrip(".").lower())
            if here is None:
                below = any(other.endswith("." + name) for other in self._records)
                return found, ResponseCode.NO_ERROR if found or below else ResponseCode.NO_SUCH_NAME
            wanted = [record for record in here if record.type == kind]
            alias = next((record for record in here if record.type is RecordType.CNAME), None)
            if wanted or alias is None:
                return found + wanted, ResponseCode.NO_ERROR
            found.append(alias)
            name = alias.value
        return found, ResponseCode.NO_ERROR

    def texts(self) -> dict[str, str]:
        """Every TXT record by name, for whoever verifies signatures elsewhere."""
        return {name: record.value for name, records in self._records.items() for record in records
                if record.type is RecordType.TXT}

    def mail_addresses(self, domain: str) -> list[str]:
        """IPv4 addresses of the domain's MX hosts, the most preferred first."""
        hosts = sorted((int(record.value.split()[0]), record.value.split()[1])
                       for record in self.lookup(domain, RecordType.MX)[0] if record.type is RecordType.MX)
        return [record.value for _, host in hosts for record in self.lookup(host, RecordType.A)[0]
                if record.type is RecordType.A]


class _Answering(asyncio.DatagramProtocol):
    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        answer = _answer(self._zone, data, datagram=True)
        if self._transport is not None and answer:
            self._transport.sendto(answer, addr)


def _answer(zone: Zone, packet: bytes, *, datagram: bool) -> bytes:
    try:
        question = decode_question(packet)
    except (ValueError, IndexError):
        return b""  # not a question: nothing to answer
    records, code = zone.lookup(question.name, question.type)
    return encode_answer(question, records, code, datagram=datagram)


class DnsServer:
    """``zone`` on one free port of ``host``, for datagrams and for connections."""

    def __init__(self, zone: Zone, host: str) -> None:
        self._zone, self._host = zone, host
        self._transport: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Open both; raises OSError where the host has no such port for both."""
        self._server = await asyncio.start_server(self._converse, self._host, 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Answering(self._zone), local_addr=(self._host, self.port)
        )

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._transport is not None:
            self._transport.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(10):
                (octets,) = struct.unpack("!H", await reader.readexactly(2))
                answer = _answer(self._zone, await reader.readexactly(octets), datagram=False)
            writer.write(struct.pack("!H", len(answer)) + answer)
            await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
