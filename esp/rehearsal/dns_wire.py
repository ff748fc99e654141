"""As much of DNS's wire format (RFC 1035 section 4) as a small authoritative server needs."""

import ipaddress
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

_HEADER: Final = struct.Struct("!6H")
_EDNS_OPT: Final = b"\x00" + struct.pack("!HHIH", 41, 1232, 0, 0)  # RFC 6891 section 6.1.2
_TTL: Final = 60


class RecordType(IntEnum):
    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    MX = 15
    TXT = 16
    AAAA = 28


class ResponseCode(IntEnum):
    NO_ERROR = 0
    FORMAT_ERROR = 1
    NO_SUCH_NAME = 3


@dataclass(frozen=True, slots=True)
class Record:
    """``value`` as a zone file has it: an address, a name, ``10 mx.example`` for MX, the joined text for TXT."""

    name: str
    type: RecordType
    value: str


@dataclass(frozen=True, slots=True)
class Question:
    id: int
    name: str
    type: int
    edns: bool
    raw: bytes  # the question section, to be repeated in the answer


def decode_question(packet: bytes) -> Question:
    """The one question of a query; ValueError for anything else."""
    if len(packet) < _HEADER.size + 5:
        raise ValueError("too short")
    number, flags, questions, answers, authorities, additional = _HEADER.unpack_from(packet)
    if flags & 0x8000 or questions != 1 or answers or authorities:
        raise ValueError("not a plain query")
    labels, at = [], _HEADER.size
    while length := packet[at]:
        if length > 63 or at + 1 + length >= len(packet):
            raise ValueError("bad name")
        labels.append(packet[at + 1 : at + 1 + length].decode("ascii"))
        at += 1 + length
    if at + 5 > len(packet):
        raise ValueError("cut")
    kind, _ = struct.unpack_from("!2H", packet, at + 1)
    return Question(number, ".".join(labels).lower(), kind, additional > 0, packet[_HEADER.size : at + 5])


def encode_answer(question: Question, records: Sequence[Record], code: ResponseCode, *, datagram: bool) -> bytes:
    """The answer's packet; TC is set, and no record sent, where it would not fit one datagram (the asker uses TCP)."""
    body = b"".join(_encode_record(record, question.name) for record in records)
    additional = _EDNS_OPT if question.edns else b""
    flags = 0x8580 | code  # response, authoritative, recursion desired and available
    octets = _HEADER.size + len(question.raw) + len(body) + len(additional)
    if datagram and octets > (1232 if question.edns else 512):
        body, records, flags = b"", (), flags | 0x0200
    header = _HEADER.pack(question.id, flags, 1, len(records), 0, 1 if additional else 0)
    return header + question.raw + body + additional


def _encode_name(name: str) -> bytes:
    labels = [label.encode("ascii") for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\x00"


def _encode_record(record: Record, asked: str) -> bytes:
    data = _encode_value(record)
    # The name asked for stands behind the header, where a pointer saves repeating it (RFC 1035 section 4.1.4).
    name = b"\xc0\x0c" if record.name.rstrip(".").lower() == asked else _encode_name(record.name)
    return name + struct.pack("!HHIH", record.type, 1, _TTL, len(data)) + data


def _encode_value(record: Record) -> bytes:
    match record.type:
        case RecordType.A | RecordType.AAAA:
            return ipaddress.ip_address(record.value).packed
        case RecordType.MX:
            preference, _, host = record.value.partition(" ")
            return struct.pack("!H", int(preference)) + _encode_name(host)
        case RecordType.TXT:
            octets = record.value.encode()
            pieces = [octets[at : at + 255] for at in range(0, len(octets), 255)] or [b""]
            return b"".join(bytes((len(piece),)) + piece for piece in pieces)
        case _:
            return _encode_name(record.value)
