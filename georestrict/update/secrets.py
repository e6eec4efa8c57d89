"""Secrets: read from the environment or a file when they are needed, and told to nobody.

``KEY_env = "X"`` is the variable ``X``, or the content of the file that ``X_FILE`` names: how
containers and systemd's credentials hand secrets over.
"""

from __future__ import annotations

import base64
import logging
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from georestrict.errors import ConfigurationError
from georestrict.update.orders import Auth, Secret

logger = logging.getLogger("georestrict")

_LONGEST = 4096
CUT = "…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A header that opens a door, and the words that must appear nowhere else."""

    header: str = field(repr=False)
    words: tuple[str, ...] = field(repr=False)
    names: str  #: where they came from, for messages

    def cut(self, text: str) -> str:
        """Return a text without the secrets."""
        for word in sorted(self.words, key=len, reverse=True):
            text = text.replace(word, CUT)
        return text


def read(auth: Auth | None, folder: Path, place: str) -> Credentials | None:
    """Return what a provider asks for; paths of files are relative to the manifest's folder.

    Raises:
        ConfigurationError: if a secret is missing; what it is, is never told.
    """
    if auth is None:
        return None
    names = " and ".join(str(each) for each in auth.secrets)
    if auth.token is not None:
        token = _value(auth.token, folder, place)
        return Credentials(header=f"Bearer {token}", words=(token,), names=names)
    user = _value(auth.user, folder, place) if auth.user is not None else ""
    password = _value(auth.password, folder, place) if auth.password is not None else ""
    if ":" in user:  # RFC 7617 §2
        raise ConfigurationError(f"{place}: the user in {auth.user} holds a colon; correct it")
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    # With a password the user is no secret; a short number would cut holes into sizes and dates.
    words = (password, pair) if password else (user, pair)
    return Credentials(header=f"Basic {pair}", words=words, names=names)


def is_there(secret: Secret, folder: Path) -> bool:
    """Tell whether a secret is where the manifest says, without reading it."""
    if secret.env is not None and os.environ.get(secret.env):
        return True
    path = _path(secret, folder)
    return path is not None and path.is_file()


def _path(secret: Secret, folder: Path) -> Path | None:
    named = secret.file if secret.file is not None else os.environ.get(f"{secret.env}_FILE")
    return folder / named if named else None


def _value(secret: Secret, folder: Path, place: str) -> str:
    value = os.environ.get(secret.env, "") if secret.env is not None else ""
    if not value:
        path = _path(secret, folder)
        if path is None:
            raise ConfigurationError(
                f"{place}: the environment has no {secret.env}, nor {secret.env}_FILE with the "
                "name of a file; set one of them"
            )
        value = _content(path, place)
    value = value.rstrip("\r\n")
    if not value or not value.isascii() or not value.isprintable() or len(value) > _LONGEST:
        raise ConfigurationError(
            f"{place}: what {secret} holds is no secret in one line of ASCII; correct it"
        )
    return value


def _content(path: Path, place: str) -> str:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(_LONGEST + 2)
    except OSError as error:
        raise ConfigurationError(
            f"{place}: the file {str(path)!r} cannot be read: {error.strerror}; check the path and "
            "its permissions"
        ) from error
    if os.name == "posix" and status.st_mode & stat.S_IROTH:
        logger.warning(
            "%s: everybody on this machine may read the secret in %s; say 'chmod 600' to it",
            place,
            path,
        )
    return content.decode("utf-8", "replace")
