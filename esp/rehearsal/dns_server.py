"""The rehearsal's DNS: one zone of everything, answered over UDP on loopback."""

import asyncio
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
        try:
            question = decode_question(data)
        except (ValueError, IndexError):
            return  # not a question: nothing to answer
        records, code = self._zone.lookup(question.name, question.type)
        if self._transport is not None:
            self._transport.sendto(encode_answer(question, records, code), addr)


async def serve_dns(zone: Zone, host: str) -> tuple[asyncio.DatagramTransport, int]:
    """Answer from ``zone`` on a free port of ``host``; the transport (close it) and the port."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Answering(zone), local_addr=(host, 0)
    )
    return transport, int(transport.get_extra_info("sockname")[1])
