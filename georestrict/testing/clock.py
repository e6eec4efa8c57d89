"""A clock that stands still until a test moves it."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta

from georestrict.errors import ConfigurationError

Moment = datetime | date | str


class Clock:
    """Tell the same time until it is moved: for ``Engine(clock=…)``.

    It begins at ``start``, or at the moment at which it is made. A moment is a ``datetime`` with an
    offset from UTC, a ``date``, or one of the two as ISO 8601 text; a date is its midnight in UTC.

    >>> clock = Clock("2027-01-01")
    >>> clock.pass_(hours=1)
    >>> clock.now.isoformat()
    '2027-01-01T01:00:00+00:00'

    Raises:
        ConfigurationError: for a moment that is none, or has no offset.
    """

    def __init__(self, start: Moment | None = None) -> None:
        self._seconds = time.time() if start is None else _seconds(start)

    def __call__(self) -> float:
        """Return the seconds since the epoch."""
        return self._seconds

    @property
    def now(self) -> datetime:
        """The time that it tells, in UTC."""
        return datetime.fromtimestamp(self._seconds, UTC)

    def move_to(self, moment: Moment) -> None:
        """Tell another time from now on; an earlier one, too."""
        self._seconds = _seconds(moment)

    def pass_(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> None:
        """Let time pass.

        Raises:
            ConfigurationError: if it would run backwards; ``move_to`` goes anywhere.
        """
        passed = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        if passed < timedelta(0):
            raise ConfigurationError(
                f"Clock.pass_: {passed.total_seconds():g} s is negative; to go back, use move_to"
            )
        self._seconds += passed.total_seconds()

    def __repr__(self) -> str:
        return f"Clock({self.now.isoformat()!r})"


def _seconds(moment: Moment) -> float:
    if isinstance(moment, str):
        try:
            moment = _read(moment)
        except ValueError:
            raise ConfigurationError(
                f"Clock: {moment!r} is no moment; write 2027-01-01 or 2027-01-01T12:00:00Z"
            ) from None
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    if moment.utcoffset() is None:
        raise ConfigurationError(
            f"Clock: {moment.isoformat()} is a time without an offset; add Z or tzinfo=UTC"
        )
    return moment.timestamp()


def _read(text: str) -> datetime | date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return datetime.fromisoformat(text)
