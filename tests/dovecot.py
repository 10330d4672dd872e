"""A Dovecot of our own for the tests: a process on loopback with its own folder and users."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from imaplib import IMAP4
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.certificates import Certificate
from tests.ports import free_port

USER, PASSWORD = "robot@mail.example", 'pass "word\\'

CONFIG = """
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = no
auth_mechanisms = plain login
default_internal_user = {internal}
default_internal_group = {group}
default_login_user = {login}
first_valid_uid = 1
mail_location = maildir:{folder}/mail/%u
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {folder}/users
}}
userdb {{
  driver = static
  args = uid={owner} gid={group_id} home={folder}/mail
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
namespace inbox {{
  inbox = yes
  mailbox Archive {{
    auto = create
  }}
  mailbox Entwürfe {{
    auto = create
  }}
}}
"""


def why_not() -> str | None:
    """Why there is no Dovecot to test with; None when there is."""
    binary = shutil.which("dovecot") or shutil.which("dovecot", path="/usr/sbin")
    if binary is None:
        return "no Dovecot on this machine (Debian: apt-get install dovecot-imapd)"
    try:
        version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        return f"Dovecot does not start: {error}"
    return None if version.startswith("2.3.") else f"Dovecot {version.split(' ')[0]}: its configuration is not 2.3's"


class Dovecot:
    """`with Dovecot(certificate) as server:`; `port` has STARTTLS, `tls_port` TLS."""

    def __init__(self, certificate: Certificate) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="flowrunner-imap-", dir="/tmp"))  # a socket's path has to be short
        self.port, self.tls_port = free_port(), free_port()
        root = os.geteuid() == 0
        owner = pwd.getpwnam("nobody") if root else pwd.getpwuid(os.geteuid())
        mail = self.folder / "mail"
        mail.mkdir()
        if root:
            os.chown(mail, owner.pw_uid, owner.pw_gid)
            self.folder.chmod(0o755)
        me = getpass.getuser()
        config = CONFIG.format(
            folder=self.folder,
            certificate=certificate.certificate,
            key=certificate.key,
            internal="dovecot" if root else me,
            group="dovecot" if root else pwd.getpwuid(os.geteuid()).pw_gid,
            login="dovenull" if root else me,
            owner=owner.pw_uid,
            group_id=owner.pw_gid,
            port=self.port,
            tls_port=self.tls_port,
        )
        (self.folder / "dovecot.conf").write_text(config)
        (self.folder / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}::::::\n")
        (self.folder / "users").chmod(0o644)

    def __enter__(self) -> Self:
        binary = shutil.which("dovecot") or "/usr/sbin/dovecot"
        with (self.folder / "output").open("wb") as output:
            self._process = subprocess.Popen(
                [binary, "-F", "-c", str(self.folder / "dovecot.conf")], stdout=output, stderr=output
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                self.client().logout()
            except (OSError, IMAP4.error) as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    logs = [one.read_text("utf-8", "replace") for one in self.folder.glob("*o*") if one.is_file()]
                    self.__exit__(None, None, None)
                    raise AssertionError(f"Dovecot does not answer: {error}\n" + "\n".join(logs)[-3_000:]) from None
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(0.1)
            else:
                return self

    def client(self) -> IMAP4:
        """Python's client, logged in."""
        client = IMAP4("127.0.0.1", self.port, timeout=10)
        client.login(USER, PASSWORD)
        return client

    def fill(self, *messages: bytes, folder: str = "INBOX") -> None:
        """Empty the folder and put these in."""
        client = self.client()
        _, count = client.select(folder)
        if count != [b"0"]:
            client.store("1:*", "+FLAGS", r"(\Deleted)")
            client.expunge()
        for message in messages:
            client.append(folder, "", "", message)
        client.logout()

    def flags(self, folder: str = "INBOX") -> list[list[str]]:
        """Of all messages in the folder, but whether they are new."""
        client = self.client()
        client.select(folder, readonly=True)
        _, found = client.fetch("1:*", "(FLAGS)")
        client.logout()
        lines = [line for line in found if isinstance(line, bytes)]
        return [sorted(set(line.decode().partition("FLAGS (")[2].strip(")").split()) - {"\\Recent"}) for line in lines]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
