"""The world outside: files fetched from and put at addresses, folders and object stores, bounded in every direction."""

import asyncio
import hashlib
import hmac
import ipaddress
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from esp.adapters.sql.outside import database_server, query_rows
from esp.errors import InputError
from esp.ports.transfers import PlaceKind

_REDIRECTS: Final = 3
_PIECE: Final = 1 << 18
_SILENCE: Final = 60  # seconds without a word
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_GIVEN_OUT: Final = ipaddress.ip_network("2000::/3")


def is_public(address: str) -> bool:
    """Whether an address belongs to the world: nothing of ours, of a cloud's inside, or made up of an IPv4 one."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is not None:
            return is_public(str(inner))
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        # 2000::/3 is all that is given out; the rest holds IPv4 addresses in older clothes (::127.0.0.1, RFC 4291).
        return ip in _GIVEN_OUT and ip.is_global
    return ip.is_global and not ip.is_multicast


async def checked_addresses(host: str, port: int, allow_private: bool) -> list[tuple[int, str]]:
    """Family and address of each of the host's addresses; raises InputError where one of them is not of the world."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise InputError(f"The host {host} is not known.") from None
    addresses: list[tuple[int, str]] = [(family, str(where[0])) for family, _, _, _, where in found]
    # One private address among public ones is how a name is turned about between check and use.
    if not allow_private and not all(is_public(address.partition("%")[0]) for _, address in addresses):
        raise InputError(f"The host {host} is on a private network, which this server does not reach out to.")
    return addresses


class CheckedResolver(AbstractResolver):
    """Gives aiohttp the very addresses that were checked, so that there is no second look at the DNS."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC,
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=found, proto=0, flags=socket.AI_NUMERICHOST)
            for found, address in await checked_addresses(host, port, self._allow_private)
        ]

    async def close(self) -> None:
        return None


def workspace_folder(workspace_id: int) -> str:
    """The name of a workspace's folder below ``transfers.folder``."""
    return f"workspace-{workspace_id}"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the configuration allows; see its section ``transfers``."""

    folder: str
    allow_private_addresses: bool
    max_octets: int
    timeout: timedelta


class OutsidePlaces:
    """The port ``Places``."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds

    @asynccontextmanager
    async def read(
        self, workspace_id: int, kind: PlaceKind, place: Mapping[str, str], secret: str,
    ) -> AsyncIterator[tuple[str, AsyncIterator[bytes]]]:
        match kind:
            case PlaceKind.URL:
                headers = {"Authorization": secret} if secret else {}
                async with self._get(place["url"], headers) as found:
                    yield found
            case PlaceKind.S3:
                url, headers = sign_s3("GET", place, secret, _EMPTY, datetime.now(UTC))
                async with self._get(url, headers, redirects=0) as found:
                    yield found
            case PlaceKind.FOLDER:
                path = await asyncio.to_thread(self._newest, workspace_id, place["path"])
                yield path.name, self._file(path)
            case PlaceKind.SQL:
                address = await self._database_address(secret)
                yield "query.csv", query_rows(
                    secret, place["query"], self._bounds.timeout, self._bounds.max_octets, address,
                    self._root(workspace_id))

    async def write(
        self, workspace_id: int, kind: PlaceKind, place: Mapping[str, str], secret: str, file: Path, name: str,
    ) -> None:
        match kind:
            case PlaceKind.URL:
                headers = {"Authorization": secret} if secret else {}
                await self._put(place["url"], headers, file)
            case PlaceKind.S3:
                digest = await asyncio.to_thread(_digest, file)
                url, headers = sign_s3("PUT", place, secret, digest, datetime.now(UTC))
                await self._put(url, headers, file)
            case PlaceKind.FOLDER:
                await asyncio.to_thread(self._copy, workspace_id, file, place["path"], name)
            case PlaceKind.SQL:
                raise InputError("People can be read out of a database, not written into one.")

    # ---- HTTP

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            resolver=CheckedResolver(self._bounds.allow_private_addresses), use_dns_cache=False, limit=4)
        timeout = aiohttp.ClientTimeout(
            total=self._bounds.timeout.total_seconds(), sock_connect=20, sock_read=_SILENCE)
        return aiohttp.ClientSession(
            connector=connector, timeout=timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar())

    async def _check(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError("The address must begin with https:// or http://.")
        if parts.username or parts.password:
            raise InputError("Put user and password into the authorization, not into the address.")
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            raise InputError("The address has no valid port.") from None
        # Also for numbers in the place of a name, of which no resolver is asked.
        await checked_addresses(parts.hostname, port, self._bounds.allow_private_addresses)

    @asynccontextmanager
    async def _get(
        self, url: str, headers: Mapping[str, str], redirects: int = _REDIRECTS,
    ) -> AsyncIterator[tuple[str, AsyncIterator[bytes]]]:
        async with self._session() as session:
            try:
                for hop in range(redirects + 1):
                    await self._check(url)
                    # The secret is for the host it was given for, not for whom that one sends us to.
                    known = headers if hop == 0 else {}
                    async with session.get(_exact(url), headers=known, allow_redirects=False) as answer:
                        if answer.status in (301, 302, 303, 307, 308) and "Location" in answer.headers:
                            url = urljoin(url, answer.headers["Location"])
                            continue
                        if answer.status != 200:
                            raise InputError(f"The other side answered {answer.status}.")
                        yield Path(urlsplit(url).path).name or "file.csv", self._body(answer)
                        return
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                if isinstance(error.__cause__, InputError):
                    raise error.__cause__ from None
                raise InputError(f"The file could not be fetched: {_said(error)}") from None
        raise InputError("The other side sends us on and on.")

    async def _body(self, answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        taken = 0
        async for piece in answer.content.iter_chunked(_PIECE):
            taken += len(piece)
            if taken > self._bounds.max_octets:
                raise InputError(f"The file is larger than {self._bounds.max_octets:,} octets.")
            yield piece

    async def _put(self, url: str, headers: Mapping[str, str], file: Path) -> None:
        await self._check(url)
        size = str((await asyncio.to_thread(file.stat)).st_size)
        try:
            async with self._session() as session, session.put(
                _exact(url), data=self._file(file), headers={**headers, "Content-Length": size}, allow_redirects=False,
            ) as answer:
                if answer.status not in (200, 201, 202, 204):
                    raise InputError(f"The other side answered {answer.status}.")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise InputError(f"The file could not be sent: {_said(error)}") from None

    # ---- folders

    def _root(self, workspace_id: int) -> Path | None:
        """The workspace's own folder below the configured one, made where it is not there yet: what one workspace puts
        down or is brought is nothing to the others of the server."""
        if not self._bounds.folder:
            return None
        root = Path(self._bounds.folder) / workspace_folder(workspace_id)
        root.mkdir(mode=0o770, parents=True, exist_ok=True)
        return root.resolve()

    def _inside(self, workspace_id: int, path: str) -> Path:
        """The path below the workspace's folder; raises InputError where it leads out of it, by whatever way."""
        root = self._root(workspace_id)
        if root is None:
            raise InputError("This server has no transfer folder; its operator names one with transfers.folder.")
        if "\0" in path or Path(path).is_absolute():
            raise InputError("Write the path below the transfer folder, without a / before it.")
        found = (root / path).resolve()
        if not found.is_relative_to(root) or found == root:
            raise InputError(f"The path leads out of the transfer folder {root.name}.")
        return found

    def _newest(self, workspace_id: int, path: str) -> Path:
        missing = f"There is no such file in the transfer folder {workspace_folder(workspace_id)}."
        if "*" not in path:
            found = self._inside(workspace_id, path)
            if not found.is_file():
                raise InputError(missing)
            return found
        folder, _, pattern = path.rpartition("/")
        root = self._root(workspace_id)
        place = self._inside(workspace_id, folder) if folder else root
        if place is None or root is None or "*" in folder:
            self._inside(workspace_id, "x")
            raise InputError("A * may stand in the file's name only.")
        # Each is resolved again: a link in the folder may point out of it.
        files = [self._inside(workspace_id, str((place / it.name).relative_to(root)))
                 for it in place.glob(pattern) if it.is_file() and not it.is_symlink()]
        if not files:
            raise InputError(missing)
        return max(files, key=lambda it: (it.stat().st_mtime, it.name))

    async def _file(self, path: Path) -> AsyncIterator[bytes]:
        with await asyncio.to_thread(path.open, "rb") as file:
            while data := await asyncio.to_thread(file.read, _PIECE):
                yield data

    def _copy(self, workspace_id: int, file: Path, path: str, name: str) -> None:
        is_folder = path.endswith("/") or "." not in Path(path).name
        target = self._inside(workspace_id, f"{path}/{name}" if is_folder else path)
        target.parent.mkdir(parents=True, exist_ok=True)
        made = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with file.open("rb") as source, made.open("wb") as out:
                while data := source.read(_PIECE):
                    out.write(data)
                out.flush()
                os.fsync(out.fileno())
            made.replace(target)  # who looks into the folder sees the whole file or none
        finally:
            made.unlink(missing_ok=True)

    async def _database_address(self, url: str) -> str:
        """The checked address of a database's host; empty for a file or a socket of this machine."""
        server = database_server(url)
        if server is None:
            return ""
        host, port = server
        if not host:
            if not self._bounds.allow_private_addresses:
                raise InputError("Name the database's host.")
            return ""
        return (await checked_addresses(host, port, self._bounds.allow_private_addresses))[0][1]


def _exact(url: str) -> URL:
    """The address as it was written where it is quoted already: a signature holds for these octets and no others."""
    return URL(url, encoded="%" in url)


def _said(error: BaseException) -> str:
    return str(error)[:200] or type(error).__name__


# ---- S3 (AWS Signature Version 4) -----------------------------------------------------------------------------------

_EMPTY: Final = hashlib.sha256(b"").hexdigest()


def _digest(file: Path) -> str:
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def sign_s3(
    method: str, place: Mapping[str, str], secret: str, payload: str, now: datetime,
) -> tuple[str, dict[str, str]]:
    """The object's address (path style) and the headers of a request for it; ``payload`` is its body's SHA-256."""
    region = place.get("region") or "us-east-1"
    endpoint = place["endpoint"].rstrip("/")
    path = "/" + quote(f"{place['bucket']}/{place['key'].lstrip('/')}", safe="/-_.~")
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    host = urlsplit(endpoint).netloc
    headers = {"host": host, "x-amz-content-sha256": payload, "x-amz-date": stamp}
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    request = "\n".join((method, path, "", lines, names, payload))
    scope = f"{day}/{region}/s3/aws4_request"
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()))
    key: Any = f"AWS4{secret}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"{place['access_key']}/{scope}"
    return endpoint + path, {
        "x-amz-content-sha256": payload, "x-amz-date": stamp,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}",
    }
