"""Logging set up once: structured facts to standard error, as text for people or JSON for machines."""

import logging
import sys

import orjson
import structlog

from esp.settings import LogSettings

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def _json(fact: object, **_options: object) -> str:
    return orjson.dumps(fact, default=str).decode()


def configure(settings: LogSettings) -> None:
    """Send every log line to standard error. Libraries' own lines come through at warning and above."""
    chain: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(serializer=_json)
        if settings.format == "json"
        # Plain: the default formatter prints local variables, secrets among them, and takes 100 ms for it.
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        ),
    ]
    if settings.format == "text":
        chain.remove(structlog.processors.format_exc_info)  # the console renderer lays out exceptions itself
    structlog.configure(
        processors=chain,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[settings.level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # aiosmtpd logs message lines at DEBUG: never let a library below warning.
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s", force=True
    )
