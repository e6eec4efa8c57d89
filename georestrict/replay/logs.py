"""Replaying logs: read, judged and counted, block by block, in two threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from georestrict.errors import ConfigurationError, FormatError
from georestrict.replay.counting import Counting
from georestrict.replay.formats import Format, detect
from georestrict.replay.judging import Counted, Judge
from georestrict.replay.reading import BLOCK, Progress, blocks
from georestrict.replay.summary import File

_STDIN = "-"
_THREADS = 2
_PEEKED = 1 << 16  # bytes of a log that tell when it begins
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Logs:
    """Some logs, and the format that they are said to have; None: each is looked at."""

    paths: Sequence[str]
    format: Format | None = None
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

    def replay(self, judge: Judge, progress: Progress | None = None) -> Counting:
        """Judge every request.

        Raises:
            ConfigurationError: if a format cannot be told.
            FormatError: if a log is damaged, or none of its lines is a request.
            OSError: if it cannot be read.
        """
        counting = Counting()
        paths = sorted(self.paths, key=self._begins) if judge.in_order else self.paths
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
        judge: Judge,
        counting: Counting,
        pool: ThreadPoolExecutor,
        progress: Progress | None,
    ) -> None:
        requests = unparsed = 0
        written: Format | None = None
        waiting: deque[Future[tuple[pl.DataFrame | Counted, int]]] = deque()

        def take() -> None:
            nonlocal requests, unparsed
            found, wrong = waiting.popleft().result()
            if isinstance(found, pl.DataFrame):
                found = judge.judge(found)
            counting.add(found)
            requests, unparsed = requests + found.requests, unparsed + wrong

        with closing(blocks(path, self.block, progress)) as source:
            for block in source:
                if written is None:
                    written = (self.format or detect(block)).begin(block)
                waiting.append(pool.submit(_read, block, written, judge))
                if len(waiting) > _THREADS:
                    take()
            while waiting:
                take()
        name = "-" if written is None else written.name
        if unparsed and not requests:
            raise FormatError(
                f"{_name(path)}: none of its {unparsed:,} lines is a request in the format {name}; "
                "say which one it has with --format"
            )
        counting.unparsed += unparsed
        counting.files.append(
            File(name=_name(path), format=name, requests=requests, unparsed=unparsed)
        )

    def _begins(self, path: str) -> datetime:
        """Return when a log's first request was; the standard input's cannot be looked at."""
        if path == _STDIN:
            return _NEVER
        with closing(blocks(path, _PEEKED)) as source:
            block = next(source, b"")
        if not block:
            return _NEVER
        frame, _ = (self.format or detect(block)).begin(block).parse(block)
        first = frame.get_column("time").min()
        return first if isinstance(first, datetime) else _NEVER


def _read(block: bytes, written: Format, judge: Judge) -> tuple[pl.DataFrame | Counted, int]:
    """Return what was found in a block (its frame where the order matters), and lines left out."""
    frame, wrong = written.parse(block)
    return (frame if judge.in_order else judge.judge(frame)), wrong


def _name(path: str) -> str:
    return "standard input" if path == _STDIN else os.fspath(path)
