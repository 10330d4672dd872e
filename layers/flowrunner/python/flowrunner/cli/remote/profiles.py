"""Which server to talk to, and as whom: named profiles in a file of the user's, and the environment over them.

The file is `$XDG_CONFIG_HOME/flowrunner/profiles.yaml` (or below `~/.config`), for its owner alone and replaced as a
whole. `FLOWRUNNER_PROFILE` names another profile, `FLOWRUNNER_SERVER` another server, `FLOWRUNNER_TOKEN` another token;
a profile's token is never sent to a server that is not its own.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from urllib.parse import urlsplit

from flowrunner.cli.exits import UsageError
from flowrunner.errors import ConfigurationError, NotFound

FILE = "profiles.yaml"
DEFAULT = "default"
INSECURE = "FLOWRUNNER_INSECURE_HTTP"


@dataclass(frozen=True, slots=True)
class Profile:
    """A server and the token for it."""

    server: str
    token: str
    token_id: str | None = None
    """Known of tokens that `login` has made."""
    user: str | None = None
    insecure_http: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """What a command talks to. `profile` names where it comes from, None: the environment alone."""

    server: str
    token: str
    profile: str | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Profiles:
    """All profiles, and the name of the one that is used when nothing else is said."""

    current: str | None
    known: Mapping[str, Profile]

    def with_profile(self, name: str, profile: Profile) -> Profiles:
        """With a profile added or replaced, which becomes the current one."""
        return Profiles(name, {**self.known, name: profile})

    def without(self, name: str) -> Profiles:
        """Without a profile. Raises `NotFound`."""
        self.named(name)
        known = {other: profile for other, profile in self.known.items() if other != name}
        return Profiles(None if self.current == name else self.current, known)

    def using(self, name: str) -> Profiles:
        """With another current profile. Raises `NotFound`."""
        self.named(name)
        return replace(self, current=name)

    def named(self, name: str) -> Profile:
        """Raises `NotFound`."""
        if name not in self.known:
            there = ", ".join(sorted(self.known)) or "none"
            raise NotFound(f"there is no profile {name!r}", hint=f"there are: {there}")
        return self.known[name]


def profiles_file(environ: Mapping[str, str]) -> Path:
    """Where the profiles are."""
    base = environ.get("XDG_CONFIG_HOME", "")
    # Relative paths there are to be ignored (XDG Base Directory Specification).
    folder = Path(base) if Path(base).is_absolute() else Path.home() / ".config"
    return folder / "flowrunner" / FILE


def load_profiles(path: Path) -> Profiles:
    """The profiles; none when there is no file. Raises `ConfigurationError` for a file that others may read."""
    import yaml

    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and mode & 0o077:
                raise ConfigurationError(
                    f"{path} holds tokens, and others may read it", hint=f"make it yours alone: chmod 600 {path}"
                )
            document = yaml.safe_load(file)
    except FileNotFoundError:
        return Profiles(None, {})
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid YAML", hint="repair it, or remove it and log in") from error
    try:
        known = {str(name): _profile(one) for name, one in ((document or {}).get("profiles") or {}).items()}
        current = (document or {}).get("current")
    except (AttributeError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path} does not hold profiles", hint="remove it and log in") from error
    return Profiles(current if current in known else None, known)


def save_profiles(path: Path, profiles: Profiles) -> None:
    """Replace the file; a crash leaves the old one or the new one. Raises `ConfigurationError`."""
    import yaml

    document = {
        "current": profiles.current,
        "profiles": {name: _document(profile) for name, profile in sorted(profiles.known.items())},
    }
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _beside(path) as fresh:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error


def choose_target(environ: Mapping[str, str], wanted: str | None = None) -> Target:
    """The server to talk to: the profile `wanted`, else the environment's, else the current one.

    Raises `UsageError` when there is none, or none may be used so; `NotFound` for a profile that is not there.
    """
    found = find_target(environ, wanted)
    if found is None:
        raise UsageError(
            "no server is in use",
            hint="flowrunner login, flowrunner profiles use, or set FLOWRUNNER_SERVER and FLOWRUNNER_TOKEN",
        )
    return found


def find_target(environ: Mapping[str, str], wanted: str | None = None) -> Target | None:
    """As `choose_target`; None when nothing names a server."""
    if wanted is None and environ.get("FLOWRUNNER_TOKEN") == "":
        # A secret that a pipeline was not given: nobody wants the token of whoever has logged in there in its place.
        raise UsageError("FLOWRUNNER_TOKEN is empty", hint="set it, or unset it to use the token of a profile")
    server, token = environ.get("FLOWRUNNER_SERVER", ""), environ.get("FLOWRUNNER_TOKEN", "")
    if wanted is None and server and token:
        return Target(checked_server(server, insecure=bool(environ.get(INSECURE))), token)
    profiles = load_profiles(profiles_file(environ))
    name = wanted or environ.get("FLOWRUNNER_PROFILE") or profiles.current
    if wanted is not None:
        # Said on the command line: that very profile, whatever the environment holds.
        server = token = ""
    if name is None:
        if server or token:
            lacking = "FLOWRUNNER_TOKEN" if server else "FLOWRUNNER_SERVER"
            raise UsageError(f"{lacking} is not set, and there is no profile to take it from")
        return None
    profile = profiles.named(name)
    insecure = profile.insecure_http or bool(environ.get(INSECURE))
    address = checked_server(server or profile.server, insecure=insecure)
    if not token and address != profile.server:
        raise UsageError(
            f"the token of profile {name!r} belongs to {profile.server} and is not sent to {address}",
            hint="set FLOWRUNNER_TOKEN, too",
        )
    return Target(address, token or profile.token, name, None if token else profile.user)


def checked_server(text: str, *, insecure: bool = False) -> str:
    """The address of a server without what does not belong there. Raises `UsageError`.

    Plain HTTP would show the token to everybody on the way, so it is for this machine only, unless `insecure`.
    """
    url = text.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("https", "http") or parts.query or parts.fragment:
        raise UsageError(f"{text[:200]!r} is no address of a server", hint="write it like https://flows.example.com")
    if parts.username is not None or parts.password is not None:
        raise UsageError("the address of the server holds a user or password", hint="leave them out: login asks")
    if parts.scheme == "http" and not insecure and not _is_loopback(host):
        raise UsageError(
            f"{url} would show the token to everybody on the way",
            hint=f"use https, or allow it: login --insecure-http, or {INSECURE}=1 in the environment",
        )
    return url


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _profile(document: Mapping[str, object]) -> Profile:
    known = {field.name for field in fields(Profile)}
    values = {key: value for key, value in document.items() if key in known}
    server, token = values["server"], values["token"]
    if not isinstance(server, str) or not isinstance(token, str):
        raise TypeError("server and token are texts")
    return Profile(**values)  # type: ignore[arg-type]  # a file of the user's own; the two that matter were looked at


def _document(profile: Profile) -> dict[str, object]:
    return {key: value for key, value in asdict(profile).items() if value not in (None, False)}


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}.new")
    try:
        yield fresh
    finally:
        fresh.unlink(missing_ok=True)
