"""Reading logs: files, plain or compressed, as blocks of whole lines, in bounded memory.

How a file is compressed is told by its first bytes, not by its name. Reading and decompression run
in a thread beside whoever takes the blocks.
"""

from __future__ import annotations

import queue
import sys
import threading
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import BinaryIO

import zstandard

from georestrict.errors import FormatError

#: Bytes in a block: large enough that a block's own cost is small beside its lines'.
BLOCK = 24 << 20
#: Bytes of the longest line that is read; longer ones are one line that is no request.
LONGEST_LINE = 1 << 20
#: Is told how many more bytes of a file, as it lies there, were read.
Progress = Callable[[int], None]

_STDIN = "-"
#: Seconds that a run that was given up waits for its reading: a pipe may never say anything more.
_PATIENCE = 1.0
_PIECE = 256 << 10
# A frame's piece of 128 KiB can take four bytes, so that more would become too much at once.
_ZSTD_PIECE = 512
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGICS = (b"\x28\xb5\x2f\xfd", *(bytes([n]) + b"\x2a\x4d\x18" for n in range(0x50, 0x60)))
#: What stands for a line that was too long: no format reads it.
_TOO_LONG = b"\0\n"


def blocks(
    path: str | Path, size: int = BLOCK, progress: Progress | None = None
) -> Generator[bytes, None, None]:
    """Yield a log's content in blocks of about ``size`` bytes, each of whole lines.

    ``"-"`` is the standard input. At most four blocks are held. Raises ``FormatError`` where
    compressed data is damaged or ends too early, and ``OSError`` where it cannot be read.
    """
    return _beside(_whole_lines(_content(path, progress or (lambda read: None)), size))


def _content(path: str | Path, progress: Progress) -> Iterator[bytes]:
    """Yield the content in pieces of bounded size, decompressed."""
    standard = str(path) == _STDIN
    with nullcontext(_standard_input()) if standard else Path(path).open("rb") as file:
        raw = _pieces(file, progress)
        first = next(raw, b"")
        while len(first) < 4 and (more := next(raw, b"")):
            first += more
        name = "standard input" if standard else str(path)
        if first.startswith(_GZIP_MAGIC):
            yield from _gzip(name, first, raw)
        elif first.startswith(_ZSTD_MAGICS):
            yield from _zstd(name, first, raw)
        else:
            yield first
            yield from raw


def _standard_input() -> BinaryIO:
    """Return it without its buffer, whose lock a thread that waits there would never give back."""
    buffer = sys.stdin.buffer
    raw: BinaryIO = getattr(buffer, "raw", buffer)
    return raw


def _pieces(file: BinaryIO, progress: Progress) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        progress(len(piece))
        yield piece


def _gzip(name: str, first: bytes, raw: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what the members of a gzip file hold (RFC 1952); zeros behind them are padding."""
    member, waiting, read, open_member = zlib.decompressobj(31), first, 0, False
    while True:
        if not waiting:
            waiting = next(raw, b"")
            if not waiting:
                break
        if not open_member and not waiting.strip(b"\0"):
            read, waiting = read + len(waiting), b""
            continue
        try:
            content = member.decompress(waiting, _PIECE)
        except zlib.error as error:
            raise _damaged(name, "gzip", read, error) from None
        rest = member.unused_data if member.eof else member.unconsumed_tail
        read += len(waiting) - len(rest)
        stuck = len(waiting) == len(rest) and not content
        waiting, open_member = rest, not member.eof
        if content:
            yield content
        if member.eof:
            member = zlib.decompressobj(31)
        elif stuck:
            waiting = rest + next(raw, b"")
    if open_member:
        raise _too_short(name, "gzip", read)


def _zstd(name: str, first: bytes, raw: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what the frames of a zstd file hold (RFC 8878)."""
    decompressor = zstandard.ZstdDecompressor()
    frame, read, open_frame = decompressor.decompressobj(), 0, False
    for piece in _chain(first, raw):
        at = 0
        while at < len(piece):
            part = piece[at : at + _ZSTD_PIECE]
            try:
                content = frame.decompress(part)
            except zstandard.ZstdError as error:
                raise _damaged(name, "zstd", read, error) from None
            used = len(part) - (len(frame.unused_data) if frame.eof else 0)
            at, read, open_frame = at + used, read + used, not frame.eof
            if content:
                yield content
            if frame.eof:
                frame = decompressor.decompressobj()
    if open_frame:
        raise _too_short(name, "zstd", read)


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _damaged(name: str, kind: str, read: int, error: Exception) -> FormatError:
    return FormatError(
        f"{name}: byte {read}: its {kind} data is damaged ({error}); restore it or leave it out"
    )


def _too_short(name: str, kind: str, read: int) -> FormatError:
    return FormatError(
        f"{name}: byte {read}: its {kind} data ends too early, so lines are missing; "
        "restore it, or wait until it is written to its end"
    )


def _whole_lines(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Gather pieces to blocks that end where a line does, without lines that are too long."""
    held: list[bytes] = []
    length, skipping = 0, False
    for piece in pieces:
        if skipping:
            end = piece.find(b"\n")
            if end < 0:
                continue
            piece, skipping = piece[end + 1 :], False
        held.append(piece)
        length += len(piece)
        if length < size:
            continue
        block = b"".join(held)
        end = block.rfind(b"\n") + 1
        rest = block[end:]
        if len(rest) > LONGEST_LINE:
            rest, skipping = b"", True
            block = block[:end] + _TOO_LONG
            end = len(block)
        if end:
            yield _without_long_lines(block[:end])
        held, length = [rest], len(rest)
    block = b"".join(held)
    if block:
        yield _without_long_lines(block)


def _without_long_lines(block: bytes) -> bytes:
    """Return a block with a mark in the place of each line that is too long."""
    kept: list[bytes] = []
    start = at = 0
    while len(block) - at > LONGEST_LINE:
        end = block.rfind(b"\n", at, at + LONGEST_LINE + 1)
        if end >= 0:
            at = end + 1
            continue
        end = block.find(b"\n", at)
        kept += [block[start:at], _TOO_LONG]
        start = at = len(block) if end < 0 else end + 1
    return b"".join([*kept, block[start:]]) if kept else block


def _beside(items: Iterator[bytes]) -> Generator[bytes, None, None]:
    """Yield items that a thread makes ahead, at most two."""
    made: queue.Queue[bytes | BaseException | None] = queue.Queue(2)
    ended = threading.Event()

    def put(item: bytes | BaseException | None) -> None:
        while not ended.is_set():
            with suppress(queue.Full):
                made.put(item, timeout=0.1)
                return

    def make() -> None:
        try:
            for item in items:
                put(item)
                if ended.is_set():
                    return
            put(None)
        except BaseException as error:  # whoever takes the items must learn of it
            put(error)

    def take() -> bytes | BaseException | None:
        while True:  # not one long wait: Polars' handler of signals has such waits go on (Ctrl-C)
            with suppress(queue.Empty):
                return made.get(timeout=0.1)

    thread = threading.Thread(target=make, name="georestrict-replay-reading", daemon=True)
    thread.start()
    try:
        while (item := take()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        ended.set()
        thread.join(_PATIENCE)
