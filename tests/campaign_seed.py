"""A workspace in full use, for looking at campaign screens: made through the same flows and ports as the real thing.

Nothing is written past them, so what a screen shows of it is what a screen would show of real mail.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from esp.flows import campaigns as flow
from esp.flows.domains import add_domain
from esp.flows.walk import finish_done, walk_step
from esp.model.campaign import CampaignAction, ContentKind
from esp.model.contact import SubscriptionState, SuppressionReason
from esp.model.delivery import EventType, NewEvent
from esp.ports.campaigns import Campaign, CampaignEdit, VariantEdit
from esp.ports.contacts import ContactList, NewContact, Subscribing
from esp.ports.engagement import Hit, JudgedHit
from esp.ports.reports import Metric, Person
from esp.wire.addresses import parse_address
from tests.admin_house import House

FIRST = ("Ayu", "Budi", "Citra", "Dewi", "Eko", "Fitri", "Gilang", "Hana", "Indra", "Joko", "Kartika", "Lestari")
LAST = ("Wijaya", "Santoso", "Pratama", "Lestari", "Hidayat", "Nugroho", "Saputra", "Rahayu")
CITIES = ("Jakarta", "Bandung", "Surabaya", "Yogyakarta", "Medan")
DOMAINS = ("gmail.com", "gmail.com", "gmail.com", "yahoo.co.id", "outlook.com", "kampus.example", "kantor.example")

MAIL = """<mjml><mj-head><mj-attributes><mj-all font-family="Helvetica, Arial, sans-serif" /></mj-attributes></mj-head>
<mj-body background-color="#eef2f6">
<mj-section background-color="#ffffff"><mj-column>
<mj-text font-size="24px">Kopi baru dari Gayo</mj-text>
<mj-text>Halo {{ contact.first_name | default("teman") }},
panen tahun ini sudah tiba di {{ contact.city | default("kota Anda") }}.</mj-text>
<mj-button href="https://toko-melati.example/gayo" background-color="#0f766e">Lihat kopinya</mj-button>
<mj-text>Baca juga <a href="https://toko-melati.example/seduh">cara menyeduh</a> dan
<a href="https://toko-melati.example/petani">cerita petaninya</a>.</mj-text>
</mj-column></mj-section></mj-body></mjml>"""


@dataclass
class Seed:
    """What was made, by what it is good for."""

    house: House
    workspace: int
    domain: int
    news: ContactList
    partners: ContactList
    draft: Campaign
    scheduled: Campaign | None = None
    sending: Campaign | None = None
    paused: Campaign | None = None
    sent: Campaign | None = None


def newsletter(seed_lists: Iterable[ContactList], domain: int, name: str, **more: object) -> CampaignEdit:
    """A campaign that can be sent as it is."""
    values: dict[str, object] = {
        "name": name, "include_lists": tuple(one.id for one in seed_lists), "domain_id": domain,
        "from_name": "Toko Melati", "from_address": "kabar@toko-melati.example",
        "variants": (VariantEdit("Kopi baru dari Gayo, {{ contact.first_name | default('teman') }}", MAIL,
                                 ContentKind.MJML, "Panen tahun ini sudah tiba"),),
        **more,
    }
    return CampaignEdit(**values)  # type: ignore[arg-type]


async def small(house: House, people: int = 40) -> Seed:
    """A list with some people, among them one who left and one whose address bounced; a domain; and a draft."""
    await house.owner()
    workspace = await house.app.store.accounts.first_workspace()
    assert workspace
    contacts = house.app.store.contacts
    domain = await add_domain(house.app, workspace.id, "toko-melati.example")
    await house.app.store.domains.record_check(workspace.id, domain.id, {}, house.clock.now(), verified=True)
    news = await contacts.create_list(workspace.id, "Kabar bulanan", "kabar", "", house.clock.now())
    partners = await contacts.create_list(workspace.id, "Mitra", "mitra", "", house.clock.now())
    rows = [_contact(number) for number in range(people)]
    for start in range(0, people, 1000):
        await contacts.upsert(
            workspace.id, rows[start:start + 1000], "test", house.clock.now(), Subscribing(news.id, "test"))
    await contacts.upsert(workspace.id, rows[:5], "test", house.clock.now(), Subscribing(partners.id, "test"))
    left = await contacts.find(workspace.id, rows[1].email_key)
    assert left
    await contacts.set_subscription(workspace.id, left.id, news.id, SubscriptionState.UNSUBSCRIBED, house.clock.now(),
                                    source="test")
    await contacts.suppress(workspace.id, rows[2].email_key, SuppressionReason.HARD_BOUNCE, house.clock.now())
    draft = await flow.create(house.app, workspace.id, newsletter((news,), domain.id, "Kopi Gayo"))
    return Seed(house, workspace.id, domain.id, await contacts.get_list(workspace.id, news.id), partners, draft)


def _contact(number: int) -> NewContact:
    first, last = FIRST[number % len(FIRST)], LAST[number // len(FIRST) % len(LAST)]
    address = parse_address(f"{first.lower()}.{last.lower()}{number}@{DOMAINS[number % len(DOMAINS)]}")
    return NewContact(address.text, address.key, address.domain, {
        "first_name": first, "last_name": last, "city": CITIES[number % len(CITIES)]})


async def started(seed: Seed, edit: CampaignEdit) -> Campaign:
    """A campaign that has begun and whose audience is written out."""
    app = seed.house.app
    made = await flow.create(app, seed.workspace, edit)
    campaign = await flow.act(app, seed.workspace, made.id, CampaignAction.START)
    while await walk_step(app, campaign):
        campaign = (await app.store.campaigns.get(seed.workspace, campaign.id)).campaign
    return (await app.store.campaigns.get(seed.workspace, campaign.id)).campaign


async def everybody(seed: Seed, campaign: Campaign, metric: Metric = Metric.WAITING) -> list[Person]:
    return await seed.house.app.store.reports.people(seed.workspace, campaign.id, metric, limit=100_000)


async def deliver(seed: Seed, campaign: Campaign, some: Sequence[Person]) -> None:
    """What servers answer: most take it, each 29th address is unknown, and some ask to come back."""
    app = seed.house.app
    events = []
    for at, one in enumerate(some):
        when = seed.house.clock.now() + timedelta(seconds=at * 3)
        if at % 29 == 7:
            kind, detail = EventType.BOUNCED, {
                "reason": "unknown_user", "code": 550, "reply": "550 5.1.1 The email account does not exist"}
        elif at % 61 == 11:
            kind, detail = EventType.BOUNCED, {"reason": "mailbox_full", "code": 552, "reply": "552 5.2.2 Mailbox full"}
        elif at % 23 == 5:
            kind, detail = EventType.DEFERRED, {
                "reason": "rate_limited", "code": 421, "reply": "421 4.7.28 Our system has detected an unusual rate"}
        else:
            kind, detail = EventType.DELIVERED, {"reason": "ok", "code": 250, "reply": "250 2.0.0 OK"}
        events.append(NewEvent(kind, when, seed.workspace, campaign.id, one.delivery_id, one.contact_id,
                               provider=one.provider, detail=detail))
    await app.store.ledger.apply(events)


async def answer(seed: Seed, campaign: Campaign) -> None:
    """What people and machines do with it: they open, click, leave and complain, over two days."""
    app, now = seed.house.app, seed.house.clock.now()
    hits, facts = [], []
    delivered = await everybody(seed, campaign, Metric.DELIVERED)
    for at, one in enumerate(delivered):
        when = now + timedelta(minutes=5 + (at * 37) % 360 if at % 3 else 5 + (at * 131) % 2500)
        if at % 4 == 0:
            hits.append(_judged(seed, campaign, one, EventType.OPENED, now + timedelta(seconds=at * 3 + 4), "proxy"))
        if at % 11 == 0:
            scanned = now + timedelta(seconds=at * 3 + 5)
            hits.append(_judged(seed, campaign, one, EventType.CLICKED, scanned, "scanner", 1))
        if at % 5 < 2:
            hits.append(_judged(seed, campaign, one, EventType.OPENED, when, "human"))
        if at % 9 == 0:
            hits.append(_judged(seed, campaign, one, EventType.CLICKED, when + timedelta(minutes=1), "human", 0))
        if at % 14 == 0:
            hits.append(_judged(seed, campaign, one, EventType.CLICKED, when + timedelta(minutes=2), "human", at % 3))
        if at % 90 == 3:
            facts.append(NewEvent(EventType.UNSUBSCRIBED, when, seed.workspace, campaign.id, one.delivery_id,
                                  one.contact_id, provider=one.provider))
        if at % 400 == 9:
            facts.append(NewEvent(EventType.COMPLAINED, when, seed.workspace, campaign.id, one.delivery_id,
                                  one.contact_id, provider=one.provider))
    await app.store.engagement.record([], sorted(hits, key=lambda one: one.hit.at))
    await app.store.ledger.apply(facts)


def _judged(
    seed: Seed, campaign: Campaign, one: Person, kind: EventType, when: object, agent: str, link: int | None = None,
) -> JudgedHit:
    hit = Hit(kind, when, seed.workspace, campaign.id, one.delivery_id, link, "203.0.113.9", "Mozilla/5.0")  # type: ignore[arg-type]
    return JudgedHit(hit, agent, "test", 1)


async def full(house: House, people: int = 900) -> Seed:
    """One campaign in every state, the sent one with two variants and two days of answers."""
    seed = await small(house, people)
    app = house.app
    two = (VariantEdit("Kopi baru dari Gayo", MAIL, ContentKind.MJML, "Panen tahun ini sudah tiba", "A", 1),
           VariantEdit("{{ contact.first_name | default('Teman') }}, kopi Anda sudah tiba", MAIL, ContentKind.MJML,
                       "Panen tahun ini sudah tiba", "B", 1))
    house.clock.turn(-timedelta(days=9))
    before = await started(seed, newsletter((seed.news,), seed.domain, "Resep Ramadan"))
    await _finish(seed, before)
    house.clock.turn(timedelta(days=6))
    sent = await started(seed, newsletter((seed.news,), seed.domain, "Kabar November", variants=two))
    await _finish(seed, sent)
    house.clock.turn(timedelta(days=3))
    seed.sent = (await app.store.campaigns.get(seed.workspace, sent.id)).campaign
    paused = await started(seed, newsletter((seed.partners,), seed.domain, "Undangan mitra"))
    await deliver(seed, paused, (await everybody(seed, paused))[:2])
    seed.paused = await flow.act(app, seed.workspace, paused.id, CampaignAction.PAUSE, reason="Paused by Sri Wahyuni")
    sending = await started(seed, newsletter((seed.news,), seed.domain, "Diskon akhir pekan"))
    house.clock.turn(-timedelta(minutes=20))
    await deliver(seed, sending, (await everybody(seed, sending))[:430])
    house.clock.turn(timedelta(minutes=20))
    seed.sending = sending
    made = await flow.create(app, seed.workspace, newsletter((seed.news,), seed.domain, "Ucapan akhir tahun"))
    seed.scheduled = await flow.act(app, seed.workspace, made.id, CampaignAction.SCHEDULE,
                                    at=house.clock.now() + timedelta(days=12, hours=4))
    return seed


async def _finish(seed: Seed, campaign: Campaign) -> None:
    """Everybody is dealt with: what was put off arrives at the second try."""
    house = seed.house
    await deliver(seed, campaign, await everybody(seed, campaign))
    await answer(seed, campaign)
    later = house.clock.now() + timedelta(minutes=50)
    await house.app.store.ledger.apply([
        NewEvent(EventType.DELIVERED, later, seed.workspace, campaign.id, one.delivery_id, one.contact_id,
                 provider=one.provider, detail={"reason": "ok", "code": 250, "reply": "250 2.0.0 OK"})
        for one in await everybody(seed, campaign, Metric.DEFERRED)])
    house.clock.turn(timedelta(minutes=51))
    await finish_done(house.app)
    house.clock.turn(-timedelta(minutes=51))
