"""How a fetch fails."""

from __future__ import annotations

from georestrict.errors import UpdateError


class FetchError(UpdateError):
    """A file could not be fetched, or is not what it should be; the old one stays."""


class TryAgainError(FetchError):
    """It may go better in a while; ``wait_seconds`` is what the server asks for."""

    def __init__(self, message: str, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class NotThereError(FetchError):
    """The server has no such file."""
