"""The stage of a demonstration: an owner, a brand with its domain in the world's DNS, a list of people, a campaign."""

import ipaddress
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from esp.app import App
from esp.audience.generate import contacts_csv
from esp.errors import DependencyError
from esp.flows import accounts, campaigns, contacts, domains, imports
from esp.model.campaign import CampaignAction, ContentKind
from esp.model.contact import SuppressionReason
from esp.ports.campaigns import CampaignEdit, VariantEdit
from esp.ports.domains import SendingDomain
from esp.ports.imports import ImportState
from esp.rehearsal.dns_wire import Record, RecordType
from esp.rehearsal.people import fraction
from esp.rehearsal.process import RehearsalProcess
from esp.rehearsal.providers import OUR_MX_ADDRESS, PROVIDERS
from esp.wire.addresses import parse_address

DOMAIN: Final = "pantry.example"
HELLO_NAME: Final = f"mail.{DOMAIN}"
OWNER: Final = "owner@pantry.example"
_ALREADY_SUPPRESSED: Final = 0.004  # a part of the people have asked by telephone not to be written to


@dataclass(frozen=True, slots=True)
class Stage:
    """What was set up; ``password`` is the owner's."""

    workspace_id: int
    list_id: int
    campaign_id: int
    password: str
    people: int
    rejected: int


async def prepare(app: App, world: RehearsalProcess, seed: str, recipients: int, rate: str) -> Stage:
    """Set everything up through the ordinary flows; the campaign is written but not started.

    Raises DependencyError where the domain's check against the world's DNS fails, and whatever the flows raise.
    """
    password = accounts.new_password()
    owner = await accounts.found_server(app, accounts.Passwords(), OWNER, "Dewi", password)
    workspace = await app.store.accounts.first_workspace()
    assert workspace is not None  # found_server makes it
    workspace_id = workspace.id
    await app.store.accounts.update_workspace(
        workspace_id, name="The Pantry", postal_address="Jalan Kenanga 12, Bandung 40115, Indonesia", language="en",
        time_zone="Asia/Jakarta",
    )
    domain = await _prepare_domain(app, world, workspace_id)
    letter = await contacts.create_list(app, workspace_id, "The Pantry Letter", "Once a month, from the kitchen.")
    rejected = await _import(app, workspace_id, letter.id, owner.user.id, seed, recipients)
    await _suppress_some(app, workspace_id, seed, recipients)
    edit = CampaignEdit(
        name="The Pantry Letter, November", variants=_variants(), include_lists=(letter.id,), domain_id=domain.id,
        from_name="Dewi at The Pantry", from_address=f"letter@{DOMAIN}", reply_to=f"dewi@{DOMAIN}", throttle=rate,
    )
    campaign = await campaigns.create(app, workspace_id, edit)
    return Stage(workspace_id, letter.id, campaign.id, password, recipients, rejected)


async def start(app: App, stage: Stage) -> None:
    """Start the campaign, as its author would."""
    await campaigns.act(app, stage.workspace_id, stage.campaign_id, CampaignAction.START)


async def _prepare_domain(app: App, world: RehearsalProcess, workspace_id: int) -> SendingDomain:
    domain = await domains.add_domain(app, workspace_id, DOMAIN)
    wanted = await domains.records(app, workspace_id, domain)
    await world.publish(
        Record(record.name, RecordType[record.type], _value(record.type, record.value)) for record in wanted
    )
    checked = await domains.check_domain(app, workspace_id, domain.public_id)
    if checked.verified_at is None:
        raise DependencyError(f"The rehearsal's DNS does not show {DOMAIN} as it should: {checked.check_result}")
    return checked


def _value(kind: str, value: str) -> str:
    """The record's value; the server's address is given in words, and is our MX's."""
    if kind == "A":
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            return OUR_MX_ADDRESS
    return value


async def _import(app: App, workspace_id: int, list_id: int, user_id: int, seed: str, recipients: int) -> int:
    """Everybody through an ordinary CSV import; returns how many rows were refused."""

    async def upload() -> AsyncIterator[bytes]:
        for line in _people(seed, recipients):
            yield line.encode()

    stored = await imports.store_upload(app, workspace_id, user_id, "readers.csv", upload())
    inspection = await imports.inspect_import(app, workspace_id, stored.id)
    running = await imports.begin_import(
        app, workspace_id, stored.id, list_id, inspection.mapping, wording="Yes, send me the letter", actor=OWNER,
    )
    while not imports.is_over(running):  # read by the scheduler's job, as any import
        await app.coordination.wait("demo", 0.1)
        running = await app.store.imports.get(workspace_id, stored.id)
    if running.state is not ImportState.DONE:
        raise DependencyError(f"The import of the demonstration's people failed: {running.error}")
    return running.rejected


def _people(seed: str, recipients: int) -> Iterator[str]:
    """Lines of a CSV file, the same for the same seed, spread over the providers by their shares."""
    shares = {provider.domain: provider.share for provider in PROVIDERS}
    return contacts_csv(recipients, shares, int(fraction(seed, "", "people") * 2**31))


def _suppressed(seed: str, recipients: int) -> Iterator[str]:
    for line in _people(seed, recipients):
        address = line.partition(",")[0]
        if "@" in address and fraction(seed, address, "suppressed") < _ALREADY_SUPPRESSED:
            yield address


async def _suppress_some(app: App, workspace_id: int, seed: str, recipients: int) -> None:
    for address in _suppressed(seed, recipients):
        await app.store.contacts.suppress(
            workspace_id, parse_address(address).key, SuppressionReason.MANUAL, app.clock.now(), note="by telephone",
        )


def _variants() -> tuple[VariantEdit, VariantEdit]:
    source = (files("esp.rehearsal") / "newsletter.mjml").read_text()
    preheader = "The first cloves of the season, a soto for wet evenings, and four hundred boxes."
    return (
        VariantEdit("{{ contact.first_name | default('Hello') }}, the cloves are in", source, ContentKind.MJML,
                    preheader, "A"),
        VariantEdit("The rains are back. Put the kettle on{% if contact.city %} in {{ contact.city }}{% endif %}.",
                    source, ContentKind.MJML, preheader, "B"),
    )
