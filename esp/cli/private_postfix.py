"""A Postfix for one measurement: takes mail on a loopback port, writes it to its queue, and keeps it there."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from esp.errors import DependencyError

_START_SECONDS: Final = 20
_SERVICES: Final = """
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
# Deferred on arrival, so that what is measured is taking mail and not sending it; nothing holds a fast client back.
_MAIN: Final = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = {programs}
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = bench.example
mydestination =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
defer_transports = smtp relay
in_flow_delay = 0s
alias_maps =
alias_database =
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
"""


@contextmanager
def private_postfix() -> Iterator[int]:
    """The port it listens on; its folder, which its own user must be able to enter, is removed afterwards.

    Raises DependencyError where there is no Postfix, or no right to start one."""
    programs, starter = Path("/usr/lib/postfix/sbin"), shutil.which("postfix", path="/usr/sbin:/usr/local/sbin")
    if starter is None or not (programs / "smtpd").exists():
        raise DependencyError("Postfix is not installed: apt-get install postfix.")
    if os.getuid() != 0:
        raise DependencyError("Only root may start a Postfix.")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    folder = Path(tempfile.mkdtemp(prefix="merpati-postfix-"))
    folder.chmod(0o755)
    for name in ("config", "queue", "data"):
        (folder / name).mkdir(parents=True)
    shutil.chown(folder / "data", "postfix")
    (folder / "config/main.cf").write_text(_MAIN.format(folder=folder, programs=programs))
    (folder / "config/master.cf").write_text(_SERVICES.format(port=port))
    command = [starter, "-c", str(folder / "config")]
    try:
        _run([*command, "start"])
        ends = time.monotonic() + _START_SECONDS
        while not _greets(port):
            if time.monotonic() > ends:
                raise DependencyError("Postfix did not greet in time.")
            time.sleep(0.1)
        yield port
    finally:
        with suppress(DependencyError):
            _run([*command, "stop"])
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed program
    if ended.returncode:
        raise DependencyError(f"{' '.join(command)} failed: {ended.stderr.strip()[-300:]}")


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as connection:
            return connection.recv(200).startswith(b"220")
    except OSError:
        return False
