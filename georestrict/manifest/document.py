"""The manifest as a file: its sources, each checked, and no two of one name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from georestrict.errors import ConfigurationError
from georestrict.manifest.entry import read_entry
from georestrict.manifest.making import compile_sources
from georestrict.manifest.source import ImageSource, Source
from georestrict.tomlfile import read_toml


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The sources of an image, in their order: of equal precedence and width the last wins."""

    sources: tuple[Source | ImageSource, ...]
    folder: Path

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read a manifest; paths in it are relative to its folder.

        Raises:
            ConfigurationError: naming the file, the source and the key.
        """
        document = read_toml(path)
        entries = document.get("source")
        if not isinstance(entries, list) or not entries:
            raise ConfigurationError(f"{path}: has no [[source]]; name at least one file of data")
        sources = tuple(
            read_entry(entry, f"{path}: source {at}") for at, entry in enumerate(entries, 1)
        )
        names = [source.name for source in sources]
        for name in names:
            if names.count(name) > 1:
                raise ConfigurationError(f"{path}: two sources have the name {name!r}; rename one")
        return cls(sources=sources, folder=path.parent)

    def compile(self, *, built: datetime | None = None) -> bytes:
        """Read every source and return the bytes of an image.

        Raises:
            ConfigurationError: if a file is missing or its checksum is not the stated one.
            FormatError: if a file is not of its format.
        """
        return compile_sources(self.sources, self.folder, built)
