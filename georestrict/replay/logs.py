"""Replaying logs: read, judged and counted, block by block, in a few threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from georestrict.errors import ConfigurationError, FormatError
from georestrict.replay.counting import Counting
from georestrict.replay.events import is_events, recorded, requests_of
from georestrict.replay.formats import Format, detect
from georestrict.replay.judging import Counted, Judge
from georestrict.replay.reading import BLOCK, LONGEST_LINE, Progress, blocks
from georestrict.replay.summary import File

_STDIN = "-"
_THREADS = 3
_PEEKED = 1 << 16  # bytes of a log that tell when it begins
_MARK = b"\xef\xbb\xbf"  # of UTF-8, where an editor or Windows wrote it before the first line
_SHOWN = 120  # bytes of a line
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Logs:
    """Some logs, and the format that they are said to have; None: each is looked at."""

    paths: Sequence[str]
    format: Format | None = None
    header: str = "X-Forwarded-For"  #: of which the value is wanted where a log has several
    block: int = BLOCK  #: bytes

    def __post_init__(self) -> None:
        """Check that no log is named twice: its requests would count twice."""
        seen: dict[object, str] = {}
        for path in self.paths:
            key: object = path
            if path != _STDIN and Path(path).is_file():
                status = Path(path).stat()
                key = status.st_dev, status.st_ino
            if key in seen:
                raise ConfigurationError(
                    f"{path}: is the same file as {seen[key]}, so its requests would count twice; "
                    "name it once"
                )
            seen[key] = path

    @property
    def size(self) -> int | None:
        """How many bytes there are to read, as they lie there; None if that is not known."""
        if not all(Path(path).is_file() for path in self.paths):
            return None
        return sum(Path(path).stat().st_size for path in self.paths)

    def replay(self, judge: Judge | None, progress: Progress | None = None) -> Counting:
        """Judge every request; without a judge, sum what events say was decided.

        Raises:
            ConfigurationError: if a format cannot be told, or if there is nobody to judge requests
                or events that cannot be judged.
            FormatError: if a log cannot be read to its end, or none of its lines is a request.
        """
        counting = Counting()
        paths = self.paths
        if judge is not None and judge.in_order:
            paths = sorted(paths, key=self._begins)
        with ThreadPoolExecutor(_THREADS) as pool:
            for path in paths:
                self._replay(path, judge, counting, pool, progress)
        if not counting.requests:
            raise FormatError(
                f"{', '.join(map(_name, self.paths))}: no line at all, so nobody would be hit or "
                "spared; name logs that hold requests"
            )
        return counting

    def _replay(
        self,
        path: str,
        judge: Judge | None,
        counting: Counting,
        pool: ThreadPoolExecutor,
        progress: Progress | None,
    ) -> None:
        requests = unparsed = 0
        written: Format | None = None
        waiting: deque[tuple[int, Future[_Read]]] = deque()
        other = ""

        def take() -> None:
            nonlocal requests, unparsed, other
            number, future = waiting.popleft()
            read = future.result()
            if read.other is not None and not other:
                at, line = read.other
                other = f"{self._place(path, number, at)}: {_shown(line)}"
            found = read.tell()
            counting.add(found)
            counting.unjudged += read.unjudged
            requests, unparsed = requests + found.requests, unparsed + read.unparsed

        with closing(_blocks(path, self.block, progress)) as source:
            for number, block in enumerate(source):
                if written is None:
                    block = block.removeprefix(_MARK)
                    written = self._written(path, block)
                look = not other
                waiting.append((number, pool.submit(_read, block, written, judge, look=look)))
                if len(waiting) > _THREADS:
                    take()
            while waiting:
                take()
        name = "-" if written is None else written.name
        if unparsed and not requests:
            raise FormatError(
                f"{_name(path)}: none of its {unparsed:,} lines is a request in the format {name}, "
                f"such as {other}; say which one it has with --format"
            )
        counting.unparsed += unparsed
        counting.other = counting.other or other
        counting.files.append(
            File(name=_name(path), format=name, requests=requests, unparsed=unparsed)
        )

    def _place(self, path: str, number: int, line: int) -> str:
        """Return where a line of a block is.

        The lines before are counted now, once: to count them all along would cost each log a tenth
        of its time. The standard input cannot be read again.
        """
        if number == 0:
            return f"{_name(path)}:{line}"
        if path == _STDIN:
            return _name(path)
        with closing(_blocks(path, self.block)) as source:
            before = sum(each.count(b"\n") for each in islice(source, number))
        return f"{_name(path)}:{before + line}"

    def _written(self, path: str, block: bytes) -> Format:
        """Return how a log is written, as its first block tells."""
        try:
            return (self.format or detect(block, self.header)).begin(block)
        except ConfigurationError as error:
            raise ConfigurationError(f"{_name(path)}: {error}") from None

    def _begins(self, path: str) -> datetime:
        """Return when a log's first request was; the standard input's cannot be looked at."""
        if path == _STDIN:
            return _NEVER
        with closing(_blocks(path, _PEEKED)) as source:
            block = next(source, b"")
        if not block:
            return _NEVER
        frame, _ = self._written(path, block).parse(block)
        first = frame.get_column("time").min()
        return first if isinstance(first, datetime) else _NEVER


def _blocks(path: str, size: int, progress: Progress | None = None) -> Generator[bytes, None, None]:
    """Yield a log's blocks; what the system does not give is as wrong as what is damaged."""
    try:
        yield from blocks(path, size, progress)
    except OSError as error:
        raise FormatError(
            f"{_name(path)}: cannot be read: {error.strerror or error}; name a file that may be "
            "read, or '-' for standard input"
        ) from error


class _Read(NamedTuple):
    """What was read of a block."""

    tell: Callable[[], Counted]  #: what was found; where the order matters, it is judged then
    unparsed: int
    unjudged: int = 0
    other: tuple[int, bytes] | None = None  #: the first line that is no request, and its number


def _read(block: bytes, written: Format, judge: Judge | None, *, look: bool) -> _Read:
    frame, unparsed = written.parse(block, in_order=judge is not None and judge.in_order)
    other = _first_other(block, written) if unparsed and look else None
    unjudged = 0
    if judge is None:
        if not is_events(frame):
            raise ConfigurationError(
                f"a log in the format {written.name} does not tell what was decided; name the "
                "policy to judge it by, with --policy FILE"
            )
        found = recorded(frame)
        return _Read(lambda: found, unparsed, other=other)
    if is_events(frame):
        frame, unjudged = requests_of(frame)
    if judge.in_order:
        return _Read(partial(judge.judge, frame), unparsed, unjudged, other)
    found = judge.judge(frame)
    return _Read(lambda: found, unparsed, unjudged, other)


def _first_other(block: bytes, written: Format) -> tuple[int, bytes]:
    """Return the number, from 1, and the text of a block's first line that is no request.

    Halves are asked, and halves of these: together no more than the block once again.
    """
    start, end = 0, len(block)
    while True:
        half = (start + end) // 2
        middle = block.rfind(b"\n", start, half) + 1 or block.find(b"\n", half, end - 1) + 1
        if not middle:
            return block.count(b"\n", 0, start) + 1, block[start:end].strip(b"\r\n")
        if written.parse(block[start:middle])[1]:
            end = middle
        else:
            start = middle


def _shown(line: bytes) -> str:
    """Return a line as a message has it; a mark stands for one that was too long (reading.py)."""
    if line == b"\0":
        return f"a line of more than {LONGEST_LINE:,} bytes"
    return repr(line[:_SHOWN].decode("utf-8", "backslashreplace"))


def _name(path: str) -> str:
    return "standard input" if path == _STDIN else os.fspath(path)
