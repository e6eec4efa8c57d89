"""Manifests for tests: written beside the files that they name, and compiled."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from georestrict import Database
from georestrict.manifest import Manifest
from georestrict.table import Image

NOW = datetime(2026, 11, 23, 1, 30, tzinfo=UTC)


def lay(folder: Path, text: str, files: Mapping[str, str | bytes]) -> Path:
    """Write a manifest and the files that it names; return its path."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "sources.toml").write_text(text, encoding="utf-8")
    return folder / "sources.toml"


def opened(path: Path, built: datetime = NOW) -> Database:
    """Compile a manifest and open the image, which must be whole."""
    data = Manifest.load(path).compile(built=built)
    database = Database(Image(memoryview(data), "compiled"))
    database.verify()
    return database


def source(name: str, path: str, *more: str, layer: str = "country") -> str:
    """A ``[[source]]`` that states no more than it must."""
    return "\n".join(
        ("[[source]]", f'name = "{name}"', f'layer = "{layer}"', f'path = "{path}"',
         'licence = "-"', 'attribution = "-"', *more, "")
    )  # fmt: skip
