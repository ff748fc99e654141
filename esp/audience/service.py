"""Files are read in a process of their own: beside the database on another core, and bounded in memory.

``ReadingChild`` is the parent's side. ``python -m esp.audience.service`` is the child: one request as a line of JSON on
standard input, then framed answers on standard output (JSON, and rows as the database takes them), never more than one
ahead of the parent.
"""

import asyncio
import csv
import gc
import os
import resource
import signal
import struct
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from esp.audience.csv_blocks import Block, read_blocks
from esp.audience.csv_handover import pack
from esp.audience.csv_ordinary import OrdinaryRows
from esp.audience.csv_records import MAX_FIELD, RAW_KEPT, Record
from esp.audience.csv_stage import Columns, fold
from esp.audience.csv_status import Standing
from esp.audience.csv_text import Dialect
from esp.audience.xlsx import convert
from esp.errors import InputError
from esp.model.fields import FieldType
from esp.ports.imports import ImportChunk, Reject, StagedForm, StagedRow, StagedRows
from esp.ports.people import ContactField

_MEMORY: Final = 768 * 1024 * 1024  # of address space, most of which the interpreter only reserves
_XLSX_SECONDS: Final = 600
_LENGTHS: Final = struct.Struct(">II")  # of the answer, and of the octets that come with it
_PIPE_OCTETS: Final = 1 << 20
_GARBAGE: Final = 1_000_000  # containers made and not freed before the child looks for cycles
_KEY: Final = itemgetter(0)
_IN_ORDER: Final = 2_000  # people who are shown in the order of their file; in a longer one nobody would see it


# ---- the parent's side -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def _child(request: Mapping[str, Any]) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "esp.audience.service", limit=_PIPE_OCTETS,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with suppress(ConnectionError):
            process.stdin.write(orjson.dumps(request) + b"\n")
            await process.stdin.drain()
        yield process
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        process.stdin.close()
        await process.wait()
        with suppress(ConnectionError):
            await process.stdout.read()  # the pipe's transport closes only when the loop has seen its end


async def _answers(process: asyncio.subprocess.Process) -> AsyncIterator[tuple[dict[str, Any], bytes]]:
    """What the child says, each with its octets, until it says that it is done.

    Raises InputError with its words, or where it died.
    """
    assert process.stdout is not None
    while True:
        try:
            length, octets = _LENGTHS.unpack(await process.stdout.readexactly(_LENGTHS.size))
            answer = orjson.loads(await process.stdout.readexactly(length))
            packed = await process.stdout.readexactly(octets)
        except asyncio.IncompleteReadError:
            raise InputError("The file needed too much memory or time to read, so reading was stopped.") from None
        if "error" in answer:
            raise InputError(answer["error"])
        if "end" in answer:
            return
        yield answer, packed


async def read_chunks(
    path: Path, dialect: Dialect, octets: int, lines: int, columns: Columns, chunk_rows: int, rows_read: int,
    form: StagedForm,
) -> AsyncGenerator[ImportChunk]:
    """The file from ``octets`` on (after ``lines`` lines and ``rows_read`` rows) as chunks of some ``chunk_rows`` rows
    in ``form``.

    Close the iterator (``aclosing``) where it is left early: the child is ended with it.
    """
    request = {
        "task": "csv", "path": str(path), "octets": octets, "lines": lines, "chunk_rows": chunk_rows,
        "form": form.value,
        "dialect": [dialect.encoding, dialect.newline, dialect.delimiter, dialect.start, dialect.start_lines],
        "width": columns.width, "targets": columns.targets, "standing": int(columns.standing),
        "typed": [[it.key, it.label, it.type.value, it.choices] for it in columns.typed.values()],
    }
    async with _child(request) as process:
        async for answer, packed in _answers(process):
            rows_read += answer["read"]
            yield ImportChunk(
                StagedRows(packed, **answer["rows"]), [Reject(*it) for it in answer["rejects"]], answer["octets"],
                answer["lines"], rows_read, finished=False, repeated_changed=answer["changed"],
                repeated_same=answer["same"], addresses=answer["keys"])


async def convert_workbook(source: Path, target: Path) -> None:
    """Write the first sheet of an Excel workbook as CSV (UTF-8). Raises InputError where it is none, or a bomb."""
    async with _child({"task": "xlsx", "source": str(source), "target": str(target)}) as process:
        async for _ in _answers(process):
            pass


# ---- the child -------------------------------------------------------------------------------------------------------


_Answer = tuple[dict[str, Any], bytes]


class _Gathering:
    """A chunk as it grows: each person once, in the order of the file."""

    def __init__(self) -> None:
        self.rows: dict[str, StagedRow] = {}
        self.rejects: list[tuple[int, str, str]] = []
        self.read = self.changed = self.same = 0

    def add_block(self, block: Block, ordinary: OrdinaryRows, columns: Columns) -> None:
        staged, odd = ordinary.read(block.rows)
        if not odd:
            self._keep_all(staged)
            return
        for n, (row, cells) in enumerate(zip(staged, block.rows, strict=True)):
            if n not in odd:
                self._keep(row)
                continue
            if not any(map(str.strip, cells)):
                continue
            try:
                self._keep(columns.row(cells))
            except ValueError as error:
                self._refuse(block.line + n, str(error), block.raw(n))

    def add_records(self, records: Sequence[Record], columns: Columns) -> None:
        for record in records:
            if record.blank:
                continue
            try:
                if record.problem:
                    raise ValueError(record.problem)
                self._keep(columns.row(record.cells))
            except ValueError as error:
                self._refuse(record.line, str(error), record.raw)

    def _refuse(self, line: int, reason: str, raw: str) -> None:
        self.read += 1
        self.rejects.append((line, reason, raw[:RAW_KEPT].rstrip("\r\n").replace("\0", "\u2400")))

    def _keep_all(self, rows: Sequence[StagedRow]) -> None:
        people = dict(zip(map(_KEY, rows), rows, strict=True))
        if len(people) == len(rows) and self.rows.keys().isdisjoint(people):
            self.rows.update(people)
            self.read += len(rows)
        else:
            for row in rows:
                self._keep(row)

    def _keep(self, row: StagedRow) -> None:
        self.read += 1
        first = self.rows.setdefault(row[0], row)
        if first is not row:
            folded = fold(first, row)
            if folded is not first:
                self.rows[row[0]] = folded
                self.changed += 1
            else:
                self.same += 1


def _read_csv(file: BinaryIO, request: Mapping[str, Any]) -> Iterator[_Answer]:
    typed = [ContactField(0, "", key, label, FieldType(kind), tuple(choices))
             for key, label, kind, choices in request["typed"]]
    columns = Columns(request["width"], [(index, target) for index, target in request["targets"]], typed,
                      Standing(request["standing"]))
    ordinary = OrdinaryRows(columns)
    file.seek(request["octets"])
    chunk, octets, lines = _Gathering(), request["octets"], request["lines"]
    for part in read_blocks(file, Dialect(*request["dialect"]), request["octets"], request["lines"]):
        if isinstance(part, Block):
            chunk.add_block(part, ordinary, columns)
            octets, lines = part.octets, part.lines
        else:
            chunk.add_records(part, columns)
            octets, lines = part[-1].octets, part[-1].lines
        if chunk.read >= request["chunk_rows"]:
            yield _answer(chunk, octets, lines, request)
            chunk = _Gathering()
    if chunk.read:
        yield _answer(chunk, octets, lines, request)


def _answer(chunk: _Gathering, octets: int, lines: int, request: Mapping[str, Any]) -> _Answer:
    rows = list(chunk.rows.values())
    if len(rows) > _IN_ORDER:
        # By address, as the index is: each of its pages is then fetched, changed and written once a chunk.
        rows = list(map(chunk.rows.__getitem__, sorted(chunk.rows)))
    packed = pack(rows, StagedForm(request["form"]))
    return {
        "rows": {name: getattr(packed, name) for name in StagedRows.__slots__ if name != "packed"},
        "rejects": chunk.rejects, "octets": octets, "lines": lines, "read": chunk.read, "changed": chunk.changed,
        "same": chunk.same, "keys": "\n".join(map(_KEY, rows)),
    }, packed.packed


def _work(request: Mapping[str, Any]) -> Iterator[_Answer]:
    try:
        match request["task"]:
            case "csv":
                # The careful reader names what is longer; this makes the quick one hand it over.
                csv.field_size_limit(MAX_FIELD)
                gc.set_threshold(_GARBAGE)  # rows make no cycles, and a chunk's are all wanted
                with Path(request["path"]).open("rb") as file:
                    yield from _read_csv(file, request)
            case "xlsx":
                resource.setrlimit(resource.RLIMIT_CPU, (_XLSX_SECONDS, _XLSX_SECONDS))
                convert(Path(request["source"]), Path(request["target"]))
    except InputError as error:
        yield {"error": str(error)}, b""
    except FileNotFoundError:
        yield {"error": "The uploaded file is not there any more. Upload it again."}, b""
    except MemoryError:
        yield {"error": "The file needed too much memory to read, so reading was stopped."}, b""
    yield {"end": True}, b""


def _serve() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out = sys.stdout.buffer
    with suppress(BrokenPipeError):  # the parent has gone, and with it the wish to know
        for answer, packed in _work(orjson.loads(sys.stdin.buffer.readline())):
            data = orjson.dumps(answer)
            out.write(_LENGTHS.pack(len(data), len(packed)) + data)
            out.write(packed)
            out.flush()


if __name__ == "__main__":
    _serve()
