"""``python -m esp.rehearsal``: the world in a process of its own, told what to do by JSON lines.

The first line in sets it up; the first line out says where it is. Then each line in (``do``: publish, status, report,
stop) is answered by one line. It ends with its parent, when the input ends.
"""

import asyncio
import sys
from typing import Any

import orjson
import uvloop

from esp.rehearsal.dns_wire import Record, RecordType
from esp.rehearsal.world import World


def _say(value: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(value) + b"\n")
    sys.stdout.buffer.flush()


def _answer(world: World, order: dict[str, Any]) -> dict[str, Any]:
    match order["do"]:
        case "publish":
            for name, kind, value in order["records"]:
                world.zone.publish(Record(name, RecordType[kind], value))
            return {"published": len(order["records"])}
        case "status":
            return world.status()
        case "report":
            return world.report()
        case other:
            return {"error": f"{other} is not an order"}


async def main() -> None:
    """Live until told to stop, or until the input ends."""
    reader = asyncio.StreamReader(limit=16 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    options = orjson.loads(await reader.readline() or b"{}")
    world = World(**options)
    try:
        await world.start()
        _say({"port": world.port, "nameserver": world.nameserver})
        while line := await reader.readline():
            order = orjson.loads(line)
            if order["do"] == "stop":
                break
            _say(_answer(world, order))
    finally:
        await world.stop()


if __name__ == "__main__":
    uvloop.run(main())
