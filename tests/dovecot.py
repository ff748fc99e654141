"""A real Dovecot from Debian's packages, with one account, on ports of its own."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path
from typing import Self

import trustme

from tests.services import ServiceMissingError, free_port

USER, PASSWORD = "budi@toko.example", "rahasia & \"sandi\""
_CONFIG = """
protocols = imap pop3
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
listen = 127.0.0.1
ssl = yes
ssl_cert = <{folder}/cert.pem
ssl_key = <{folder}/key.pem
disable_plaintext_auth = {plain}
mail_location = maildir:{folder}/mail
mail_uid = {user}
mail_gid = {group}
first_valid_uid = 0
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
pop3_uidl_format = %g
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {folder}/users
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={folder}/home
}}
service anvil {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
  }}
}}
"""


@dataclass(slots=True)
class Dovecot:
    """``authority`` is the file of the one certificate authority that vouches for it."""

    folder: Path
    process: subprocess.Popen[bytes]
    imap: int
    imaps: int
    pop3: int
    pop3s: int
    authority: Path

    @classmethod
    def start(cls) -> Self:
        program = shutil.which("dovecot", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if program is None:
            raise ServiceMissingError("Dovecot is not installed; run `make test-needs`")
        folder = Path(tempfile.mkdtemp(prefix="merpati-dovecot-"))
        user, group = ("nobody", "nogroup") if os.getuid() == 0 else (getuser(), str(os.getgid()))
        ports = [free_port() for _ in range(4)]
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        certificate.private_key_pem.write_to_path(folder / "key.pem")
        certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
        authority.cert_pem.write_to_path(folder / "ca.pem")
        (folder / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
        for name in ("mail", "home", "run", "state"):
            (folder / name).mkdir()
        (folder / "config").write_text(_CONFIG.format(
            folder=folder, plain="no", user=user, group=group, imap=ports[0], imaps=ports[1], pop3=ports[2],
            pop3s=ports[3]))
        if os.getuid() == 0:
            folder.chmod(0o755)
            for path in (folder / "mail", folder / "home"):
                shutil.chown(path, "nobody", "nogroup")
        with (folder / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                [program, "-F", "-c", folder / "config"], stdout=subprocess.DEVNULL, stderr=stderr)
        server = cls(folder, process, *ports, folder / "ca.pem")
        server._wait()
        return server

    def _wait(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                for port in (self.imap, self.pop3):
                    with socket.create_connection(("127.0.0.1", port), 1) as probe:
                        if not probe.recv(100):
                            raise OSError
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        said = (self.folder / "stderr").read_text() + (
            (self.folder / "log").read_text() if (self.folder / "log").exists() else "")
        self.stop()
        raise RuntimeError(f"Dovecot did not start: {said}")

    def put(self, raw: bytes) -> None:
        """Deliver a message as a mail system would: written aside, then moved into the maildir."""
        mail = self.folder / "mail"
        for name in ("cur", "new", "tmp"):
            (mail / name).mkdir(exist_ok=True)
            if os.getuid() == 0:
                shutil.chown(mail / name, "nobody", "nogroup")
        name = f"{time.time_ns()}.M1P1.localhost"
        written = mail / "tmp" / name
        written.write_bytes(raw)
        if os.getuid() == 0:
            shutil.chown(written, "nobody", "nogroup")
        written.rename(mail / "new" / name)

    def there(self) -> int:
        """How many messages lie in the mailbox."""
        return sum(len(list((self.folder / "mail" / name).glob("*"))) for name in ("cur", "new"))

    def empty(self) -> None:
        """An empty mailbox with another validity."""
        for path in (self.folder / "mail").iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
