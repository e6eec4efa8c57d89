"""Files that a command writes: checked before its work begins, and written whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from georestrict.errors import ConfigurationError


def check_outputs(outputs: Mapping[str, str], inputs: Iterable[str]) -> None:
    """Check that files can be written where options say, and that nothing is lost by it.

    Raises:
        ConfigurationError: if a file is a folder, in none, or not to be written to; or if it is one
            that is read, or that another option names.
    """
    taken = {Path(name).resolve(): "a file that is read" for name in inputs if name != "-"}
    for option, name in outputs.items():
        path = _place(name)
        if path in taken:
            wrong = f"is {taken[path]}, and would be lost"
        elif path.is_dir():
            wrong = "is a folder"
        elif not path.parent.is_dir():
            wrong = f"there is no folder {path.parent}"
        elif not os.access(path if _is_special(path) else path.parent, os.W_OK):
            wrong = "may not be written"
        else:
            if not _is_special(path):
                taken[path] = f"what {option} writes"
            continue
        raise ConfigurationError(f"{option} {name}: {wrong}; name another file")


def write_outputs(contents: Mapping[str, bytes]) -> None:
    """Write files: each beside its place first, and all are put there once all are written."""
    staged: list[tuple[Path, Path]] = []
    try:
        for name, content in contents.items():
            path = _place(name)
            if _is_special(path):
                path.write_bytes(content)
                continue
            part = path.with_name(f".{path.name}.{os.getpid()}.part")
            staged.append((part, path))
            part.write_bytes(content)
            if path.exists():
                shutil.copymode(path, part)
        for part, path in staged:
            part.replace(path)
    finally:
        for part, _ in staged:
            with suppress(OSError):
                part.unlink(missing_ok=True)


def _place(name: str) -> Path:
    """Return the file itself, not a link to it; pipes and devices have no other name."""
    path = Path(name)
    return path if _is_special(path) else path.resolve()


def _is_special(path: Path) -> bool:
    """Return whether it is there and no ordinary file, such as ``/dev/stdout``."""
    return path.exists() and not path.is_file()
