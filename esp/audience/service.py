"""Files are read in a process of their own: beside the database on another core, and bounded in memory.

``ReadingChild`` is the parent's side. ``python -m esp.audience.service`` is the child: one request as a line of JSON on
standard input, then framed JSON answers on standard output, never more than one ahead of the parent.
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
from esp.audience.csv_records import MAX_FIELD, RAW_KEPT, Record
from esp.audience.csv_stage import Columns, fold
from esp.audience.csv_status import Standing
from esp.audience.csv_text import Dialect
from esp.audience.xlsx import convert
from esp.errors import InputError
from esp.model.fields import FieldType
from esp.ports.imports import ImportChunk, Reject, StagedRow
from esp.ports.people import ContactField

_MEMORY: Final = 768 * 1024 * 1024  # of address space, most of which the interpreter only reserves
_XLSX_SECONDS: Final = 600
_LENGTH: Final = struct.Struct(">I")
_PIPE_OCTETS: Final = 1 << 20
_GARBAGE: Final = 1_000_000  # containers made and not freed before the child looks for cycles
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


async def _answers(process: asyncio.subprocess.Process) -> AsyncIterator[dict[str, Any]]:
    """What the child says until it says that it is done; raises InputError with its words, or where it died."""
    assert process.stdout is not None
    while True:
        try:
            (length,) = _LENGTH.unpack(await process.stdout.readexactly(_LENGTH.size))
            answer = _parsed(await process.stdout.readexactly(length))
        except asyncio.IncompleteReadError:
            raise InputError("The file needed too much memory or time to read, so reading was stopped.") from None
        if "error" in answer:
            raise InputError(answer["error"])
        if "end" in answer:
            return
        yield answer


def _parsed(data: bytes) -> dict[str, Any]:
    """A chunk is lists by the ten thousand, all of them wanted: looking for garbage among them costs more than they."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        answer: dict[str, Any] = orjson.loads(data)
        return answer
    finally:
        if collecting:
            gc.enable()


async def read_chunks(
    path: Path, dialect: Dialect, octets: int, lines: int, columns: Columns, chunk_rows: int, rows_read: int,
) -> AsyncGenerator[ImportChunk]:
    """The file from ``octets`` on (after ``lines`` lines and ``rows_read`` rows) as chunks of some ``chunk_rows`` rows.

    Close the iterator (``aclosing``) where it is left early: the child is ended with it.
    """
    request = {
        "task": "csv", "path": str(path), "octets": octets, "lines": lines, "chunk_rows": chunk_rows,
        "dialect": [dialect.encoding, dialect.newline, dialect.delimiter, dialect.start, dialect.start_lines],
        "width": columns.width, "targets": columns.targets, "standing": int(columns.standing),
        "typed": [[it.key, it.label, it.type.value, it.choices] for it in columns.typed.values()],
    }
    async with _child(request) as process:
        async for answer in _answers(process):
            rows_read += answer["read"]
            yield ImportChunk(
                answer["rows"], [Reject(*it) for it in answer["rejects"]], answer["octets"], answer["lines"],
                rows_read, finished=False, repeated_changed=answer["changed"], repeated_same=answer["same"])


async def convert_workbook(source: Path, target: Path) -> None:
    """Write the first sheet of an Excel workbook as CSV (UTF-8). Raises InputError where it is none, or a bomb."""
    async with _child({"task": "xlsx", "source": str(source), "target": str(target)}) as process:
        async for _ in _answers(process):
            pass


# ---- the child -------------------------------------------------------------------------------------------------------


class _Gathering:
    """A chunk as it grows: each person once, in the order of the file."""

    def __init__(self) -> None:
        self.rows: dict[str, StagedRow] = {}
        self.rejects: list[tuple[int, str, str]] = []
        self.read = self.changed = self.same = 0

    def add_block(self, block: Block, columns: Columns) -> None:
        make = columns.row
        for index, cells in enumerate(block.rows):
            if not any(cells):
                continue
            try:
                row = make(cells)
            except ValueError as error:
                if any(map(str.strip, cells)):
                    self._refuse(block.line + index, str(error), block.raw(index))
                continue
            self._keep(row)

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

    def _keep(self, row: StagedRow) -> None:
        self.read += 1
        first = self.rows.setdefault(row[0], row)
        if first is not row:
            if fold(first, row):
                self.changed += 1
            else:
                self.same += 1


def _read_csv(file: BinaryIO, request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    typed = [ContactField(0, "", key, label, FieldType(kind), tuple(choices))
             for key, label, kind, choices in request["typed"]]
    columns = Columns(request["width"], [(index, target) for index, target in request["targets"]], typed,
                      Standing(request["standing"]))
    file.seek(request["octets"])
    chunk, octets, lines = _Gathering(), request["octets"], request["lines"]
    for part in read_blocks(file, Dialect(*request["dialect"]), request["octets"], request["lines"]):
        if isinstance(part, Block):
            chunk.add_block(part, columns)
            octets, lines = part.octets, part.lines
        else:
            chunk.add_records(part, columns)
            octets, lines = part[-1].octets, part[-1].lines
        if chunk.read >= request["chunk_rows"]:
            yield _answer(chunk, octets, lines)
            chunk = _Gathering()
    if chunk.read:
        yield _answer(chunk, octets, lines)


def _answer(chunk: _Gathering, octets: int, lines: int) -> dict[str, Any]:
    rows = list(chunk.rows.values())
    if len(rows) > _IN_ORDER:
        # By address, as the index is: each of its pages is then fetched, changed and written once a chunk.
        rows.sort(key=itemgetter(0))
    return {"rows": rows, "rejects": chunk.rejects, "octets": octets, "lines": lines,
            "read": chunk.read, "changed": chunk.changed, "same": chunk.same}


def _work(request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
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
        yield {"error": str(error)}
    except FileNotFoundError:
        yield {"error": "The uploaded file is not there any more. Upload it again."}
    except MemoryError:
        yield {"error": "The file needed too much memory to read, so reading was stopped."}
    yield {"end": True}


def _serve() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out = sys.stdout.buffer
    with suppress(BrokenPipeError):  # the parent has gone, and with it the wish to know
        for answer in _work(orjson.loads(sys.stdin.buffer.readline())):
            data = orjson.dumps(answer)
            out.write(_LENGTH.pack(len(data)) + data)
            out.flush()


if __name__ == "__main__":
    _serve()
