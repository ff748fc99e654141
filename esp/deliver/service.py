"""From a route to the addresses to try, in order: the resolver asked, forbidden addresses left out."""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from esp.deliver.addresses import is_public
from esp.deliver.route import Direct, SmartHost
from esp.model.attempt import Attempt, Failure, Phase
from esp.ports.network import DnsError, Resolver, Target, TlsPolicy

# RFC 5321 section 5.1 lets us bound how many are tried; a hundred MX must not hold a message for hours.
MAX_ADDRESSES: Final = 12


@dataclass(frozen=True, slots=True)
class Sending:
    """What every connection of ours has in common: see DeliverySettings for the meaning of each."""

    hello_name: str
    port: int = 25
    source: str = ""
    tls: TlsPolicy = TlsPolicy.OPPORTUNISTIC
    allow_private_addresses: bool = False


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def find_targets(where: Direct | SmartHost, resolver: Resolver, sending: Sending) -> tuple[Target, ...] | Attempt:
    """Targets in the order to try them (never empty), or the attempt that failed before there was a server to talk to.

    A host that does not resolve is passed over while another does; a temporary failure of one counts more than the
    permanent failure of another, for the mail can still arrive. A smart host was named by the operator and may stand in
    a private network; an MX was named by a stranger and may not.
    """
    smart = isinstance(where, SmartHost)
    port, tls, login = sending.port, sending.tls, None
    if isinstance(where, SmartHost):
        port, tls, login = where.port, where.tls, where.login
    try:
        if isinstance(where, SmartHost):
            hosts: tuple[str, ...] = (where.host,)
        else:
            hosts = tuple(host.name for host in await resolver.mx(where.domain))
    except DnsError as error:
        return Attempt(Phase.CONNECT, failure=error.failure, detail=str(error))
    targets: list[Target] = []
    problem: Attempt | None = None
    for host in hosts:
        try:
            found = (host,) if smart and _is_literal(host) else await resolver.addresses(host)
        except DnsError as error:
            if problem is None or not error.permanent:
                problem = Attempt(Phase.CONNECT, failure=error.failure, detail=str(error), host=host)
            continue
        for address in found:
            if smart or sending.allow_private_addresses or is_public(address):
                targets.append(Target(host, address, port, sending.hello_name, sending.source, tls, login=login))
            elif problem is None:
                problem = Attempt(
                    Phase.CONNECT, failure=Failure.FORBIDDEN_ADDRESS, host=host, address=address,
                    detail=f"{host} is at {address}, which is not a public address, so nothing was sent there.",
                )
        if len(targets) >= MAX_ADDRESSES:
            break
    if targets:
        return tuple(targets[:MAX_ADDRESSES])
    nobody = Attempt(Phase.CONNECT, failure=Failure.DNS_MISSING, detail="There is no server that takes mail for it.")
    return problem or nobody
