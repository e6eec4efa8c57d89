"""The manifest as a file: its sources, the owner's overrides, and the gates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from os.path import realpath  # unlike Path.resolve, also where links lead in a circle
from pathlib import Path

from georestrict.errors import ConfigurationError
from georestrict.manifest import overrides
from georestrict.manifest.entry import read_entry
from georestrict.manifest.gates import DEFAULT_GATES, Gates, read_gates
from georestrict.manifest.making import Progress, compile_sources
from georestrict.manifest.overrides import Override
from georestrict.manifest.source import ImageSource, Source
from georestrict.tomlfile import parsed_toml, read_text
from georestrict.tomllines import lines

#: What a manifest may have at its top.
KEYS = ("source", "overrides", "gates")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The sources of an image, in their order: of equal precedence and width the last wins."""

    sources: tuple[Source | ImageSource, ...]
    folder: Path
    overrides: tuple[Override, ...] = ()
    gates: Gates = DEFAULT_GATES

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read a manifest; paths in it are relative to its folder.

        Raises:
            ConfigurationError: naming the file, the source and the key.
        """
        text = read_text(path)
        document = parsed_toml(text, path)
        for key in document:
            if key not in KEYS:
                close = get_close_matches(key, KEYS, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(KEYS)}"
                raise ConfigurationError(f"{path}: unknown key {key!r}: {hint}")
        entries = document.get("source")
        if isinstance(entries, dict):
            raise ConfigurationError(f"{path}: write [[source]], in two pairs of brackets")
        if not isinstance(entries, list) or not entries:
            raise ConfigurationError(f"{path}: has no [[source]]; name at least one file of data")
        sources = tuple(
            read_entry(entry, f"{path}: source {at}") for at, entry in enumerate(entries, 1)
        )
        owners: tuple[Override, ...] = ()
        if "overrides" in document:
            owners = overrides.read(document["overrides"], lines(text), f"{path}: overrides")
        gates = read_gates(document.get("gates", {}), f"{path}: gates")
        _check_names((source.name for source in sources), bool(owners), path)
        return cls(sources=sources, folder=path.parent, overrides=owners, gates=gates)

    def check_output(self, path: Path, output: Path) -> None:
        """Refuse to write an image over the manifest, which is at this path, or over its data.

        Raises:
            ConfigurationError: naming the file.
        """
        used = {realpath(path): "the manifest"}
        for source in self.sources:
            used.setdefault(realpath(self.folder / source.path), f"source {source.name!r}")
        if (what := used.get(realpath(output))) is not None:
            raise ConfigurationError(
                f"{output}: is {what}, which the image would replace; write it to another file"
            )

    def compile(self, *, built: datetime | None = None, progress: Progress | None = None) -> bytes:
        """Read every source and return the bytes of an image.

        ``progress`` is called with what is being done and how much of the whole is behind it, from
        0 to 1.

        Raises:
            ConfigurationError: if a file is missing or its checksum is not the stated one.
            FormatError: if a file is not of its format, or has no networks.
        """
        return compile_sources(
            self.sources, self.folder, owners=self.overrides, built=built, progress=progress
        )


def _check_names(names: Iterable[str], overridden: bool, path: Path) -> None:
    seen = {overrides.NAME} if overridden else set()
    for name in names:
        if name in seen:
            raise ConfigurationError(f"{path}: two sources have the name {name!r}; rename one")
        seen.add(name)
