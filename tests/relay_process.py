"""The door for apps in a process of its own, without TLS and login, for a tracer to look at; prints its port."""

import asyncio
import sys
from pathlib import Path

from esp.entry.submission import SubmissionDoor
from esp.flows.accounts import Passwords
from esp.flows.credentials import Keyring
from tests.relay_house import house_at


async def main(url: str, folder: Path) -> None:
    async with house_at(url, folder) as house:
        of = house.app.settings
        house.app.settings = of.model_copy(update={"submission": of.submission.model_copy(
            update={"port": 0, "tls_port": 0})})
        door = SubmissionDoor(house.app, house.relay, Keyring(house.app), Passwords(), known=house.credential)
        await door.start()
        await house.taken()  # the carrier is made, so that what is traced is the everyday case
        print(door.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await door.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
