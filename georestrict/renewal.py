"""A whole update: fetch what a manifest names, compile it, look at it, put it in force.

Whatever goes wrong, the image in force stays, and so does every file of data until a better one
has been read. A source that cannot be fetched stops the run after the others were fetched: an image
of which a part is old must be somebody's wish (``--only``), not an accident.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from georestrict import gates
from georestrict.database import Database
from georestrict.errors import ConfigurationError, DatabaseError, GeoRestrictError, UpdateError
from georestrict.manifest import ImageSource, Manifest, Source
from georestrict.table import Image, publish
from georestrict.tomlfile import files_of, hash_file
from georestrict.update import archive, checksum, keep, orders, secrets
from georestrict.update.failures import FetchError
from georestrict.update.fetch import Fetched, Timing, Validators, fetch
from georestrict.update.orders import Order, Piece
from georestrict.update.secrets import Credentials
from georestrict.version import __version__

_CHECKSUM_ATTEMPTS = 2  # the file may be replaced between it and its checksum


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A line for whoever watches: news if something changed, trouble if something failed."""

    text: str
    is_news: bool = False
    is_trouble: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What an owner asks of a run."""

    force: bool = False  #: past the gates, and past a rollback
    keep: int = 3  #: how many images before the one in force stay
    whole_seconds: float = 600.0  #: the longest that fetching one file may take
    only: tuple[
        str, ...
    ] = ()  #: the sources to fetch; of the others the files are taken as they are
    timing: Timing = field(default_factory=Timing)


def renew(path: Path, image: Path, wish: Wish, tell: Callable[[Told], None]) -> bool:
    """Fetch, compile, check and publish; return whether a new image is in force.

    Raises:
        ConfigurationError: if the manifest is wrong, or a secret is missing; nothing was fetched.
        UpdateError: if a source failed, a gate refused, or another run is at it.
        DatabaseError: if a file of data that was not fetched cannot be read.
    """
    manifest = Manifest.load(path)
    errands = _errands(manifest, path, wish.only)
    manifest.check_output(path, image)
    image = Path(os.path.realpath(image))  # unlike resolve(), also of a link to itself
    if not image.parent.is_dir():
        raise ConfigurationError(f"{image.parent}: no such folder; make it")
    with keep.locked(image):
        keep.prune(image, wish.keep)
        failed = []
        for errand in errands:
            try:
                told = errand.run(manifest, wish)
            except (GeoRestrictError, OSError) as error:
                told = Told(text=f"{errand.source.name}: {errand.why(error)}", is_trouble=True)
                failed.append(errand.source.name)
            tell(told)
        if failed:
            raise UpdateError(
                f"nothing was published: of {len(errands)} sources {len(failed)} failed: "
                f"{', '.join(failed)}"
            )
        try:
            return _publish(manifest, path, image, wish, tell)
        except ConfigurationError as error:  # of a file that was not fetched; others may have been
            raise UpdateError(str(error)) from error
        except OSError as error:
            raise UpdateError(f"{image}: cannot be published: {error.strerror}") from error


def plan(path: Path, only: Sequence[str] = (), now: datetime | None = None) -> list[str]:
    """Return what a run would fetch, a line a file, without asking anybody.

    Raises:
        ConfigurationError: if the manifest is wrong.
    """
    manifest = Manifest.load(path)
    lines = []
    for source, order in _ordered(manifest, path, only):
        for piece in order.pieces:
            url, *older = piece.urls(now or datetime.now(UTC))
            told = [f"{source.name}: {url}"]
            if older:
                told.append(f"or the {len(older)} before it")
            if order.member is not None:
                told.append(f"member {order.member}")
            if (sums := piece.checksum_url(url)) is not None:
                told.append(f"checksum {sums}")
            for secret in order.auth.secrets if order.auth else ():
                there = secrets.is_there(secret, manifest.folder)
                told.append(f"{secret} ({'is there' if there else 'is missing'})")
            final = _final(manifest.folder / source.path, piece)
            lines.append(f"{', '.join(told)}, to {final}")
    return lines


def _ordered(
    manifest: Manifest, path: Path, only: Sequence[str]
) -> list[tuple[Source | ImageSource, Order]]:
    """Return the sources to fetch, each with its order.

    Several may be of one file, if they ask for the same: else the last would be the data of all.
    """
    found = []
    asked: dict[str, tuple[str, Order]] = {}
    for source in manifest.sources:
        order = orders.of(source.fetch or {}, f"{path}: source {source.name!r}")
        if order is not None:
            found.append((source, order))
            same = asked.setdefault(
                os.path.realpath(manifest.folder / source.path), (source.name, order)
            )
            if same[1] != order:
                raise ConfigurationError(
                    f"{path}: the sources {same[0]!r} and {source.name!r} fetch different things "
                    f"to the same {source.path!r}; give one another path, or both the same 'fetch'"
                )
    names = [source.name for source, _ in found]
    for name in only:
        if name not in names:
            raise ConfigurationError(
                f"{path}: no source {name!r} is fetched; fetched are: {', '.join(names) or 'none'}"
            )
    if not found:
        raise ConfigurationError(
            f"{path}: no source says 'fetch'; add it, or say 'georestrict compile'"
        )
    return [(source, order) for source, order in found if not only or source.name in only]


def _errands(manifest: Manifest, path: Path, only: Sequence[str]) -> list[_Errand]:
    return [
        _Errand(
            source=source,
            order=order,
            target=manifest.folder / source.path,
            credentials=secrets.read(
                order.auth, manifest.folder, f"{path}: source {source.name!r}"
            ),
        )
        for source, order in _ordered(manifest, path, only)
    ]


def _final(target: Path, piece: Piece) -> Path:
    return target if piece.name is None else target / piece.name


@dataclass(frozen=True, slots=True, kw_only=True)
class _Errand:
    """One source on its way here: fetched aside, read, and only then put in place."""

    source: Source | ImageSource
    order: Order
    target: Path
    credentials: Credentials | None

    def run(self, manifest: Manifest, wish: Wish) -> Told:
        """Fetch what has changed; another image may be made from the same file at the same time.

        Raises:
            GeoRestrictError: if it cannot be fetched or read; the old file stays.
            OSError: if it cannot be written.
        """
        self.target.parent.mkdir(parents=True, exist_ok=True)
        with keep.locked(self.target):
            return self._run(manifest, wish)

    def _run(self, manifest: Manifest, wish: Wish) -> Told:
        aside = self.target.with_name(f".{self.target.name}.update")
        with suppress(FileNotFoundError):  # a killed run left it
            shutil.rmtree(aside)
        aside.mkdir()
        try:
            came = [(piece, self._fetch(piece, aside, wish)) for piece in self.order.pieces]
            new = [(piece, fetched) for piece, fetched in came if fetched is not None]
            if new:
                self._read(manifest, aside, wish)
            for piece, fetched in new:
                self._place(piece, fetched, aside)
            if self.order.unchanged_is_fresh:
                for piece in self.order.pieces:
                    _date(_final(self.target, piece), wish.timing.now())
            if not new:
                return Told(text=f"{self.source.name}: unchanged")
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        size = sum(fetched.size for _, fetched in new)
        hosts = ", ".join(dict.fromkeys(fetched.host for _, fetched in new))
        dates = [fetched.modified for _, fetched in new if fetched.modified is not None]
        dated = f", of {min(dates):%Y-%m-%d}" if dates else ""
        return Told(
            text=f"{self.source.name}: fetched {size:,} bytes from {hosts}{dated}", is_news=True
        )

    def why(self, error: GeoRestrictError | OSError) -> str:
        """Say why it failed, without secrets: a server may have sent them back."""
        said = str(error)
        if isinstance(error, OSError):
            place = f"{error.filename}: " if error.filename is not None else ""
            said = f"{place}cannot be written: {error.strerror or error}"
        return f"failed: {self.credentials.cut(said) if self.credentials else said}"

    def _staged(self, piece: Piece, aside: Path) -> Path:
        return _final(aside / self.target.name, piece)

    def _fetch(self, piece: Piece, aside: Path, wish: Wish) -> Fetched | None:
        """Fetch a file aside, with its final name; None if the one that is here is the newest."""
        came = self._download(piece, aside, wish)
        if came is None:
            return None
        fetched, packed = came
        staged = self._staged(piece, aside)
        staged.parent.mkdir(exist_ok=True)
        archive.unpack(packed, staged, self.order.member, self.order.most_bytes)
        _date(staged, self._changed(piece, fetched, staged, wish.timing.now()))
        return fetched

    def _changed(self, piece: Piece, fetched: Fetched, staged: Path, now: datetime) -> datetime:
        """Return when the content of a file changed, as far as is known."""
        final = _final(self.target, piece)
        if self.order.unchanged_is_fresh:
            return now
        if fetched.modified is not None:
            return min(fetched.modified, now)
        if keep.digest(staged) == keep.digest(final):  # that it was sent again makes it no newer
            return min(datetime.fromtimestamp(final.stat().st_mtime, UTC), now)
        return now

    def _download(self, piece: Piece, aside: Path, wish: Wish) -> tuple[Fetched, Path] | None:
        """Fetch a file as its server has it, with the checksum that is told of it."""
        known = _recall(_final(self.target, piece), self.order)
        part, decoded = aside / "part", aside / "decoded"
        wrong = ""
        for _ in range(_CHECKSUM_ATTEMPTS):
            urls = piece.urls(wish.timing.now())
            fetched = self._ask(urls, part, self.order.most_bytes, wish, known=known)
            if fetched is None:
                return None
            packed = part
            if fetched.encoded:
                decoded.unlink(missing_ok=True)
                archive.gunzip(part, decoded, self.order.most_bytes)
                packed = decoded
            url = fetched.validators.url
            sums_at = piece.checksum_url(url)
            if sums_at is None:
                return fetched, packed
            sums = aside / "sums"
            self._ask((sums_at,), sums, checksum.MOST_BYTES, wish, home=url)
            name = url.partition("?")[0].rpartition("/")[2]
            algorithm, stated = checksum.told(sums.read_text("utf-8", "replace"), name)
            if any(checksum.has(path, algorithm, stated) for path in {part, packed}):
                return fetched, packed
            wrong = f"has not the {algorithm.upper()} that {fetched.host} tells"
        raise FetchError(wrong)

    def _ask(
        self, urls: Sequence[str], target: Path, most_bytes: int, wish: Wish, **asked: Any
    ) -> Fetched | None:
        return fetch(
            urls,
            target,
            most_bytes=most_bytes,
            whole_seconds=wish.whole_seconds,
            credentials=self.credentials,
            timing=wish.timing,
            **asked,
        )

    def _read(self, manifest: Manifest, aside: Path, wish: Wish) -> None:
        """Read the sources of this file as they would be: nothing unreadable takes its place."""
        staged = aside / self.target.name
        for piece in self.order.pieces:
            if not self._staged(piece, aside).exists():
                shutil.copy2(_final(self.target, piece), self._staged(piece, aside))
        alone = tuple(
            replace(source, path=str(staged.resolve()))
            for source in manifest.sources
            if manifest.folder / source.path == self.target  # an MMDB may be of several layers
        )
        replace(manifest, sources=alone, overrides=()).compile(built=wish.timing.now())

    def _place(self, piece: Piece, fetched: Fetched, aside: Path) -> None:
        staged, final = self._staged(piece, aside), _final(self.target, piece)
        final.parent.mkdir(exist_ok=True)
        with staged.open("r+b") as file:
            if os.name == "posix":
                os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        found = keep.digest(staged)
        staged.replace(final)
        said = fetched.validators
        held = {
            "url": said.url,
            "member": self.order.member,
            "etag": self._clean(said.etag),
            "last_modified": self._clean(said.last_modified),
            "sha256": found,
        }
        publish(_record(final), json.dumps(held, indent=1).encode())

    def _clean(self, said: str | None) -> str | None:
        """Return what a server said, unless it said a secret."""
        if said is None or self.credentials is None or self.credentials.cut(said) == said:
            return said
        return None


def _record(final: Path) -> Path:
    return final.with_name(f".{final.name}.fetched.json")


def _recall(final: Path, order: Order) -> Validators | None:
    """Return what the server said of the file that is here, if it still is that file."""
    try:
        held = json.loads(_record(final).read_bytes())
        texts = {key: held[key] for key in ("etag", "last_modified")}
        if held["member"] != order.member or held["sha256"] != keep.digest(final):
            return None
        if not all(text is None or isinstance(text, str) for text in texts.values()):
            return None
        return Validators(url=str(held["url"]), **texts)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _date(path: Path, moment: datetime) -> None:
    """Give a file the time of which its content is."""
    with suppress(OverflowError):
        os.utime(path, (moment.timestamp(), moment.timestamp()))


def _publish(
    manifest: Manifest, path: Path, image: Path, wish: Wish, tell: Callable[[Told], None]
) -> bool:
    content, dates = _digests(manifest, path)
    memory, current = keep.Memory.load(image), keep.digest(image)
    if not wish.force and current is not None and memory.seen == (current, f"{content} {dates}"):
        tell(Told(text=f"{image}: unchanged"))
        return False
    if not wish.force and content in memory.refused:
        tell(
            Told(
                text=f"{image}: unchanged: this data was rolled back at "
                f"{memory.refused[content]}; other data takes its place, or --force"
            )
        )
        return False
    now = wish.timing.now()
    data = manifest.compile(built=now)
    _check(data, manifest, image, wish, now, tell)
    made = hashlib.sha256(data).hexdigest()
    is_other = memory.made_from.get(current or "") != content
    here = {keep.digest(each) for each in (image, *keep.kept(image))}
    memory.made_from = {name: of for name, of in memory.made_from.items() if name in here} | {
        made: content
    }
    memory.refused.pop(content, None)
    memory.seen = (made, f"{content} {dates}")
    memory.save(image)  # first: what is not in force then, is not found by its digest
    before = keep.put_in_force(image, data, now, wish.keep, is_other=is_other)
    kept = f"; the one before is {before.name}" if before is not None else ""
    tell(
        Told(
            text=f"{image}: published, {len(data):,} bytes from {len(manifest.sources)} "
            f"sources{kept}",
            is_news=True,
        )
    )
    return True


def _check(
    data: bytes,
    manifest: Manifest,
    image: Path,
    wish: Wish,
    now: datetime,
    tell: Callable[[Told], None],
) -> None:
    """Hold a new image against the one in force, by the manifest's gates.

    Raises:
        UpdateError: if a gate refuses it, and nobody forces it.
    """
    new = Database(Image(memoryview(data), f"the new {image.name}"))
    old = None
    if image.exists():
        try:
            old = Database.open(image)
        except DatabaseError as error:
            tell(Told(text=f"cannot be compared with: {error}", is_trouble=True))
    refusals = gates.refusals(old, new, manifest.gates, now)
    for text in refusals:
        tell(Told(text=f"{'forced' if wish.force else 'refused'}: {text}", is_trouble=True))
    if refusals and not wish.force:
        stays = "; the old one stays" if image.exists() else ", and there is no older one"
        raise UpdateError(f"{image}: the new image was not published{stays}")


def _digests(manifest: Manifest, path: Path) -> tuple[str, str]:
    """Return what the image is made from, and of which days: two digests.

    The same content of a later day makes another image, but not one to roll back from again.
    """
    content = hashlib.sha256(__version__.encode())
    content.update(hash_file(path))
    dates = hashlib.sha256()
    for source in manifest.sources:
        named = manifest.folder / source.path
        if isinstance(source, ImageSource) and not named.exists():  # "default"
            continue
        for file in files_of(named, f"source {source.name!r}"):
            content.update(file.name.encode() + b"\0" + hash_file(file, f"source {source.name!r}"))
            modified = datetime.fromtimestamp(file.stat().st_mtime, UTC)
            dates.update(f"{modified:%Y-%m-%d}\n".encode())
    return content.hexdigest(), dates.hexdigest()[:16]
