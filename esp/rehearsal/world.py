"""The rehearsal world: providers, their examination of each mail, and the people behind it, with a log of their own.

Everything it knows it has seen on the wire or in DNS: it reads no database, so that its log can check ours.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from esp.rehearsal.browsing import Browsers, inside
from esp.rehearsal.certificate import self_signed
from esp.rehearsal.dns_server import DnsServer, Zone
from esp.rehearsal.dns_wire import Record, RecordType
from esp.rehearsal.keep import keep
from esp.rehearsal.letters import Copy, Examined, examine
from esp.rehearsal.people import Plan, fraction, plan
from esp.rehearsal.post import NotTakenError, post
from esp.rehearsal.provider import MailHost, jittered, listen
from esp.rehearsal.providers import DNS_ADDRESS, PROVIDERS, Provider
from esp.rehearsal.reports import Answer, answer_of, compose_answer

_BACKLOG: Final = 400  # messages accepted and not examined yet: bounds the memory
_AT_ONCE: Final = 12  # messages examined by one call
_BIND_TRIES: Final = 20
_POST_TRIES: Final = 5
_COMPLAINTS: Final = 20


@dataclass(slots=True)
class Person:
    """What happened to one recipient, as the world saw it."""

    provider: str
    copies: int = 0
    message_ids: list[str] = field(default_factory=list)
    greylisted: int = 0
    unknown: int = 0
    dkim_valid: int = 0
    answered: str = ""
    opened: bool = False
    clicked: bool = False
    unsubscribed: bool = False


@dataclass(slots=True)
class World:
    """``pace`` stretches (above 1) or shortens people's waits; ``scanner_window`` is the server's setting.

    ``keep_mail`` is a folder for a copy of every mail that was taken, or empty.
    """

    seed: str = "merpati"
    pace: float = 1.0
    scanner_window: float = 2.0
    keep_mail: str = ""
    providers: Sequence[Provider] = PROVIDERS
    zone: Zone = field(default_factory=Zone)
    people: dict[str, Person] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    port: int = 0
    _hosts: list[MailHost] = field(default_factory=list)
    _servers: list[asyncio.Server] = field(default_factory=list)
    _dns: DnsServer | None = None
    _backlog: deque[tuple[Provider, Copy]] = field(default_factory=deque)
    _waiting_for_room: list[Callable[[], None]] = field(default_factory=list)
    _more: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    _examining: int = 0
    _examiner: ProcessPoolExecutor | None = None
    _examination: "asyncio.Task[None] | None" = None
    _browsers: Browsers = field(default_factory=Browsers)

    # ---- beginning and end -------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open DNS and every provider's door, all providers on one port that was free on each of their addresses."""
        for provider in self.providers:
            self.zone.publish(Record(provider.domain, RecordType.MX, f"10 {provider.host}"))
            self.zone.publish(Record(provider.host, RecordType.A, provider.address))
        self._dns = DnsServer(self.zone, DNS_ADDRESS)
        await self._dns.start()
        self._hosts = [self._host(provider) for provider in self.providers]
        for attempt in range(_BIND_TRIES):
            try:
                await self._listen()
                break
            except OSError:
                await self._stop_listening()
                if attempt == _BIND_TRIES - 1:
                    raise
        self._examiner = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        await self._browsers.__aenter__()
        self._examination = asyncio.create_task(self._examine_all())
        self._examination.add_done_callback(self._ended)

    def _host(self, provider: Provider) -> MailHost:
        tls: ssl.SSLContext | None = self_signed(provider.host) if provider.behaviour.starttls else None
        return MailHost(provider, self.seed, self._accept, self._note, self._room, tls)

    @property
    def nameserver(self) -> str:
        """``address:port``."""
        assert self._dns is not None
        return f"{DNS_ADDRESS}:{self._dns.port}"

    async def _listen(self) -> None:
        port = 0
        for host in self._hosts:
            server = await listen(host, port)
            self._servers.append(server)
            port = server.sockets[0].getsockname()[1]
        self.port = port

    async def _stop_listening(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def stop(self) -> None:
        """Close everything."""
        await self._stop_listening()
        if self._dns is not None:
            self._dns.close()
        tasks = [*self._tasks, *([self._examination] if self._examination else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._browsers.__aexit__()
        if self._examiner is not None:
            self._examiner.shutdown(cancel_futures=True)

    # ---- what providers tell -----------------------------------------------------------------------------------------

    def _person(self, provider: Provider, recipient: str) -> Person:
        return self.people.setdefault(recipient, Person(provider.domain))

    def _note(self, provider: Provider, recipient: str, what: str) -> None:
        person = self._person(provider, recipient)
        if what == "unknown":
            person.unknown += 1
        else:
            person.greylisted += 1

    def _room(self, call_back: Callable[[], None]) -> bool:
        if len(self._backlog) < _BACKLOG:
            return True
        self._waiting_for_room.append(call_back)
        return False

    def _accept(self, provider: Provider, copy: Copy) -> None:
        self._person(provider, copy.recipient).copies += 1
        self._backlog.append((provider, copy))
        self._more.set()

    async def _examine_all(self) -> None:
        loop = asyncio.get_running_loop()
        assert self._examiner is not None
        while True:
            await self._more.wait()
            self._more.clear()
            while self._backlog:
                some = [self._backlog.popleft() for _ in range(min(_AT_ONCE, len(self._backlog)))]
                self._examining = len(some)
                copies = [copy for _, copy in some]
                found = await loop.run_in_executor(self._examiner, examine, copies, self.zone.texts())
                if self.keep_mail:
                    await loop.run_in_executor(self._examiner, keep, copies, self.zone.texts(), Path(self.keep_mail))
                for (provider, copy), examined in zip(some, found, strict=True):
                    self._react(provider, copy, examined)
                self._examining = 0
                waiting, self._waiting_for_room = self._waiting_for_room, []
                for call_back in waiting:
                    call_back()

    # ---- what happens behind the door --------------------------------------------------------------------------------

    def _react(self, provider: Provider, copy: Copy, examined: Examined) -> None:
        person = self._person(provider, copy.recipient)
        person.message_ids.append(examined.message_id)
        examined = replace(
            examined, links=tuple(filter(inside, examined.links)), foot=tuple(filter(inside, examined.foot)),
            images=tuple(filter(inside, examined.images)),
            one_click=examined.one_click if inside(examined.one_click) else "",
        )
        person.dkim_valid += examined.dkim_valid
        if examined.complaints and len(self.complaints) < _COMPLAINTS:
            self.complaints.append(f"{copy.recipient}: {'; '.join(examined.complaints)}")
        if person.copies > 1:
            return  # a second copy is a fault to be counted, and people act on the first
        scanned = asyncio.Event()
        if provider.behaviour.scans_links:
            self._begin(self._scan(examined, scanned))
        else:
            scanned.set()
        if provider.behaviour.proxies_images:
            self._begin(self._browsers.proxy(examined.images))
        answer = answer_of(self.seed, provider, copy.recipient)
        if answer is not None:
            self._begin(self._answer(answer, provider, copy, examined))
        if answer is not Answer.FAILED:  # whom a mail did not reach, that one does not read it
            doing = plan(self.seed, copy.recipient, self.pace)
            self._begin(self._live(doing, provider, copy.recipient, examined, scanned))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.complaints.append(f"the rehearsal itself failed: {error!r}")

    async def _scan(self, examined: Examined, scanned: asyncio.Event) -> None:
        urls = (*examined.links, *examined.foot, *examined.images, examined.one_click)
        try:
            await self._browsers.scan([url for url in urls if url])
        finally:
            scanned.set()

    async def _live(
        self, doing: Plan, provider: Provider, recipient: str, examined: Examined, scanned: asyncio.Event
    ) -> None:
        if doing.opens_after is None:
            return
        await scanned.wait()
        person, number = self.people[recipient], int(fraction(self.seed, recipient, "address") * 1000)
        # Where a scanner has just followed every link, nobody can tell a quick person from it: people come later.
        patience = 4.0 * self.scanner_window if provider.behaviour.scans_links else 0.0
        await asyncio.sleep(patience + doing.opens_after)
        if not provider.behaviour.proxies_images:  # there the proxy's copy is shown, and nobody sees who looks
            for image in examined.images:
                person.opened |= await self._browsers.fetch(number, doing.agent, image)
        for click in doing.clicks:
            await asyncio.sleep(0.6 * self.pace)
            if examined.links:
                link = examined.links[click % len(examined.links)]
                person.clicked |= await self._browsers.fetch(number, doing.agent, link)
        if doing.unsubscribes and examined.one_click:
            await asyncio.sleep(0.4 * self.pace)
            person.unsubscribed |= await self._browsers.unsubscribe(number, doing.agent, examined.one_click)

    async def _answer(self, answer: Answer, provider: Provider, copy: Copy, examined: Examined) -> None:
        await asyncio.sleep(jittered(1.5 * self.pace))
        raw = compose_answer(answer, self.seed, provider, copy.recipient, copy.mail_from, examined.message_id,
                             examined.subject)
        for attempt in range(_POST_TRIES):
            try:
                await post(self.zone, self.port, provider.address, provider.host, copy.mail_from, raw)
                self.people[copy.recipient].answered = answer.value
                return
            except (NotTakenError, OSError) as error:
                if attempt == _POST_TRIES - 1:
                    self.complaints.append(f"a report from {provider.domain} was not taken: {error}")
                await asyncio.sleep(1.0 + attempt)

    # ---- what it tells about itself ----------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Counts so far, and ``pending``: how much is still going on."""
        return {
            "pending": len(self._backlog) + self._examining + len(self._tasks),
            "failures": self._browsers.failures,
            "providers": {host.provider.domain: asdict(host.log) for host in self._hosts},
        }

    def report(self) -> dict[str, Any]:
        """Everything: what was done with each recipient, and what was wrong."""
        return {
            **self.status(), "complaints": self.complaints,
            "people": {address: asdict(person) for address, person in self.people.items()},
        }
