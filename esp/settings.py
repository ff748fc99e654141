"""Every key of the configuration, its type, its default and why: from the environment, then a TOML file, then here.

``MERPATI_SERVER__PORT=9000`` overrides ``[server] port`` of the file named by ``MERPATI_CONFIG`` or ``--config``.
``config/merpati.toml`` shows every key with its default, and a test keeps the two equal.
"""

import difflib
import os
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from esp.errors import SettingsError
from esp.model.quantities import Rate, parse_duration, spell_duration
from esp.ports.network import TlsPolicy


def _duration(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str) else value


def _rate(value: Any) -> Any:
    if value == "":
        return None  # TOML has no null; an empty rate is no bound
    return Rate.parse(value) if isinstance(value, str) else value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
RateText = Annotated[Rate | None, BeforeValidator(_rate)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class ServerSettings(_Section):
    data_dir: Path = Field(
        Path("data"), description="Where the SQLite file, keys and journals live. One server, one folder."
    )
    host: str = Field("127.0.0.1", description="Address the web side listens on; put a TLS proxy in front of it.")
    port: int = Field(
        8025, ge=0, le=65535, description="Port of the admin, the tracking links and the API. 0 chooses a free one."
    )
    public_url: str = Field(
        "", description="What links in mails begin with, e.g. https://mail.example.com. Empty: http://host:port."
    )
    workers: int = Field(1, ge=0, le=64, description="Sending processes; one a core is the most that helps.")


class DatabaseSettings(_Section):
    url: SecretStr = Field(
        SecretStr(""),
        description="postgresql://user:password@host/name. Empty: SQLite in data_dir, which is fine for one machine.",
    )
    pool_size: int = Field(10, ge=1, le=100, description="Connections each process keeps at most.")


class RedisSettings(_Section):
    url: SecretStr = Field(
        SecretStr(""), description="redis://host:6379/0 lets several nodes share rates. Empty: this machine alone."
    )


class DeliverySettings(_Section):
    hello_name: str = Field(
        "", description="Name said in EHLO; must resolve to this machine's address. Empty: the machine's own name."
    )
    smart_host: str = Field("", description="host:port that all mail goes through instead of straight to MX.")
    smart_host_user: str = Field("", description="Who we are to the smart host. Empty: it knows us by our address.")
    smart_host_password: SecretStr = Field(
        SecretStr(""),
        description="Better in the environment: MERPATI_DELIVERY__SMART_HOST_PASSWORD. Never sent without TLS.",
    )
    smart_host_tls: TlsPolicy = Field(
        TlsPolicy.OPPORTUNISTIC,
        description="none, opportunistic (verified where there is a password), required (any certificate), "
        "verified, or implicit (port 465).",
    )
    smart_host_signs: bool = Field(False, description="The smart host adds DKIM, so that we need not.")
    port: int = Field(
        25, ge=1, le=65535, description="Port of other people's MX; only a rehearsal uses another one than 25."
    )
    nameservers: tuple[str, ...] = Field(
        (), description="address or address:port of DNS servers. Empty: those of the system."
    )
    allow_private_addresses: bool = Field(
        False, description="Deliver to loopback and private networks too; only a rehearsal should."
    )
    server_rate: RateText = Field(None, description="The most this server sends, e.g. 2000/min. Empty: no bound.")
    provider_connections: int = Field(
        10, ge=1, le=500, description="Connections at once to one mailbox provider, where providers.toml does not say."
    )
    provider_rate: RateText = Field(
        None, description="Messages to one mailbox provider, where providers.toml does not say."
    )
    batch_size: int = Field(500, ge=1, le=5000, description="Deliveries a worker claims at once.")
    lease: Duration = Field(
        timedelta(seconds=60), description="How long a worker may be silent before another takes its batch."
    )
    retry_delays: tuple[Duration, ...] = Field(
        tuple(map(parse_duration, ("5min", "15min", "30min", "1h", "2h", "4h", "8h"))),
        description="Waits between tries, each jittered by a quarter; the last one repeats (RFC 5321 section 4.5.4.1).",
    )
    give_up_after: Duration = Field(
        timedelta(days=4), description="Age at which a deferred message expires (RFC 5321: 4 to 5 days)."
    )
    minimum_tries: int = Field(
        4, ge=1, le=100, description="Tries before a message may expire, so that a clock's jump bounces nobody."
    )
    audience_backlog: int = Field(
        20000, ge=1000, description="How many unsent deliveries are written ahead while a campaign runs."
    )


class MxSettings(_Section):
    enabled: bool = Field(True, description="Accept mail for return paths and unsubscribe addresses.")
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8026, ge=0, le=65535, description="Port to listen on; the world's mail comes to 25.")
    max_message_bytes: int = Field(1_000_000, ge=10_000, description="Largest bounce that is accepted.")
    max_connections: int = Field(200, ge=1, description="Connections at once, all peers together.")
    max_connections_per_peer: int = Field(20, ge=1, description="Connections at once from one address.")


class SubmissionSettings(_Section):
    enabled: bool = Field(True, description="Take mail from apps by SMTP (RFC 6409), with a user name and password.")
    host: str = Field("127.0.0.1", description="Address to listen on.")
    starttls: bool = Field(True, description="Listen for connections that begin in clear and turn to TLS.")
    port: int = Field(8587, ge=0, le=65535, description="Port for STARTTLS; the standard one is 587. 0: a free one.")
    implicit_tls: bool = Field(True, description="Listen for connections that are TLS from their first octet.")
    tls_port: int = Field(8465, ge=0, le=65535, description="Port for that; the standard one is 465. 0: a free one.")
    hostname: str = Field("", description="Name apps connect to, said in the greeting. Empty: delivery.hello_name.")
    certificate: str = Field(
        "", description="File with the certificate chain in PEM. Empty: a self-signed one is made in data_dir, which "
        "is fine for trying things."
    )
    certificate_key: str = Field("", description="File with its key in PEM. Empty: it stands in the same file.")
    max_message_bytes: int = Field(25_000_000, ge=10_000, description="Largest message that is accepted.")
    max_connections: int = Field(1000, ge=1, description="Connections at once, all apps together.")
    max_connections_per_peer: int = Field(200, ge=1, description="Connections at once from one address.")
    command_timeout: Duration = Field(
        timedelta(minutes=5), description="How long an app may wait before its next command (RFC 5321 section "
        "4.5.3.2.7), and between two blocks of a message. Before its login it has a minute in all."
    )
    message_timeout: Duration = Field(timedelta(minutes=30), description="How long one message may take to come in.")


class TrackingSettings(_Section):
    enabled: bool = Field(True, description="Count opens and clicks. Off: no mail from here has pixel or redirect.")
    fold_every: Duration = Field(
        timedelta(seconds=2), description="How often recorded opens and clicks are written to the database."
    )
    scanner_window: Duration = Field(
        timedelta(seconds=10), description="Every link of a mail fetched within this time is a machine's doing."
    )


class RetentionSettings(_Section):
    event_details: Duration = Field(
        timedelta(days=400), description="After this the address and the agent of an open, click or unsubscription go; "
        "the fact stays."
    )
    inbound_mail: Duration = Field(timedelta(days=30), description="How long judged bounces and complaints are kept.")
    import_files: Duration = Field(timedelta(days=7), description="How long files that were imported are kept.")
    digest_items: Duration = Field(timedelta(days=60), description="How long it is known what stood in whose digest.")
    preference_links: Duration = Field(
        timedelta(days=90), description="How long a mail's link opens its reader's own page, which mails get forwarded "
        "with; then the page sends a new link to the reader. The link to unsubscribe works for ever."
    )


class SignupSettings(_Section):
    proof_bits: int = Field(
        15, ge=0, le=24, description="Work that a browser does before a sign-up counts as a person's; one more doubles "
        "it. 15 takes a phone about a second."
    )
    minimum_age: Duration = Field(
        timedelta(seconds=2), description="Nobody fills a form in faster. Without the proof of work it is three times "
        "this."
    )
    maximum_age: Duration = Field(timedelta(hours=12), description="How long a form that was opened can be sent.")
    keep_unconfirmed: Duration = Field(
        timedelta(days=7), description="How long a sign-up waits to be confirmed before it is forgotten."
    )
    per_address_a_day: int = Field(5, ge=1, description="Requests for one address, whatever its dots and +words.")
    per_ip_an_hour: int = Field(30, ge=1, description="Requests from one IP address.")
    per_network_an_hour: int = Field(120, ge=1, description="Requests from one network: IPv4 /24, IPv6 /48.")
    per_domain_an_hour: int = Field(1000, ge=1, description="Requests for addresses of one domain.")
    per_workspace_an_hour: int = Field(20_000, ge=1, description="Requests of one workspace.")
    answers_a_day: int = Field(1, ge=1, description="Answers to commands by mail for one sender (RFC 3834).")


class TransferSettings(_Section):
    folder: str = Field(
        "",
        description="Folder whose files may be imported, and into which scheduled exports go. Each workspace has one of"
        " its own below it, workspace-1 and so on, and reaches no other. Empty: none.",
    )
    keep_files: Duration = Field(
        timedelta(days=7), description="How long uploaded and exported files are kept after their work is done."
    )
    allow_private_addresses: bool = Field(
        False, description="Fetch from and send to loopback and private networks; only for a store of your own."
    )
    max_octets: int = Field(2 * 1024**3, ge=1000, description="Largest file that is fetched.")
    timeout: Duration = Field(timedelta(minutes=30), description="The most time one fetch, upload or query may take.")


class MailboxSettings(_Section):
    allow_private_addresses: bool = Field(
        False, description="Collect from mailboxes on loopback and private networks; only where all users are trusted."
    )
    max_message_bytes: int = Field(
        10_000_000, ge=10_000, description="Largest message that is collected; larger ones stay where they are."
    )


class LogSettings(_Section):
    level: str = Field("info", pattern="^(debug|info|warning|error)$", description="debug, info, warning or error.")
    format: str = Field("text", pattern="^(text|json)$", description="text for people, json for machines.")


class Settings(BaseSettings):
    """The whole configuration, frozen."""

    model_config = SettingsConfigDict(
        env_prefix="MERPATI_", env_nested_delimiter="__", extra="forbid", frozen=True, arbitrary_types_allowed=True
    )

    server: ServerSettings = ServerSettings()
    database: DatabaseSettings = DatabaseSettings()
    redis: RedisSettings = RedisSettings()
    delivery: DeliverySettings = DeliverySettings()
    mx: MxSettings = MxSettings()
    submission: SubmissionSettings = SubmissionSettings()
    tracking: TrackingSettings = TrackingSettings()
    retention: RetentionSettings = RetentionSettings()
    signup: SignupSettings = SignupSettings()
    transfers: TransferSettings = TransferSettings()
    mailboxes: MailboxSettings = MailboxSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # The environment wins over the file, which arrives as init arguments.
        return env_settings, init_settings

    @property
    def database_url(self) -> str:
        """The database's URL, with the SQLite file in data_dir where none is configured."""
        return self.database.url.get_secret_value() or f"sqlite:///{self.server.data_dir.resolve() / 'merpati.db'}"

    @property
    def public_url(self) -> str:
        """What links begin with, without a slash at the end."""
        return (self.server.public_url or f"http://{self.server.host}:{self.server.port}").rstrip("/")


def _known_keys(model: type[BaseModel], prefix: str = "") -> set[str]:
    keys: set[str] = set()
    for name, field in model.model_fields.items():
        keys.add(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys |= _known_keys(field.annotation, f"{prefix}{name}.")
    return keys


def _check_environment() -> None:
    """A misspelt MERPATI_ variable is an error too, and not silently nothing."""
    known = _known_keys(Settings)
    for variable in os.environ:
        if (
            variable.startswith("MERPATI_")
            and variable != "MERPATI_CONFIG"
            and not variable.startswith("MERPATI_TEST_")
        ):
            key = variable.removeprefix("MERPATI_").lower().replace("__", ".")
            if key not in known:
                raise SettingsError(_unknown(key, known, f"the environment variable {variable}"))


def _unknown(key: str, known: set[str], where: str) -> str:
    nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
    return f"{where}: there is no key {key!r}." + (f" Did you mean {nearest[0]!r}?" if nearest else "")


def load(path: Path | None = None, **overrides: Any) -> Settings:
    """The settings from ``path`` (or MERPATI_CONFIG), the environment, and ``overrides`` by section.

    Raises SettingsError naming the key, and the nearest right one where a key is unknown.
    """
    path = path or (Path(os.environ["MERPATI_CONFIG"]) if "MERPATI_CONFIG" in os.environ else None)
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text())
        except FileNotFoundError:
            raise SettingsError(f"There is no configuration file {path}.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path} is not valid TOML: {error}") from None
    for section, keys in overrides.items():
        values[section] = {**values.get(section, {}), **keys}
    _check_environment()
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]  # never the input: it may be a secret
        key = ".".join(str(part) for part in first["loc"])
        variable = "MERPATI_" + key.upper().replace(".", "__")
        where = f"the environment variable {variable}" if variable in os.environ else str(path or "the configuration")
        if first["type"] == "extra_forbidden":
            raise SettingsError(_unknown(key, _known_keys(Settings), where)) from None
        raise SettingsError(f"{where}: {key}: {first['msg'].removeprefix('Value error, ')}") from None


def dump(settings: Settings) -> dict[str, Any]:
    """The effective values for ``load(**dump(settings))`` in a child process. Holds secrets: never log it."""

    def plain(value: Any) -> Any:
        match value:
            case BaseModel():
                return {name: plain(getattr(value, name)) for name in type(value).model_fields}
            case SecretStr():
                return value.get_secret_value()
            case timedelta():
                return spell_duration(value)
            case Rate() | Path():
                return str(value)
            case tuple():
                return [plain(item) for item in value]
            case None:
                return ""
            case _:
                return value

    return {name: plain(getattr(settings, name)) for name in type(settings).model_fields}


def document() -> str:
    """The configuration file that shows every key with its default and why: what ``config/merpati.toml`` holds."""
    defaults = dump(Settings.model_construct())
    lines = [
        "# Every key of Merpati's configuration with its default. Copy what you change into a file of your own "
        "and start",
        "# with --config FILE; MERPATI_SECTION__KEY in the environment wins over the file. An unknown key is an error.",
    ]
    for section, field in Settings.model_fields.items():
        lines += ["", f"[{section}]"]
        model = field.annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        for key, info in model.model_fields.items():
            lines += [f"# {info.description}", f"{key} = {_toml(defaults[section][key])}"]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case int():
            return f"{value:_}" if value >= 10_000 else str(value)
        case _:
            return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
