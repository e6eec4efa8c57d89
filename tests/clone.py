"""Clone the repository into a new folder, and try both doors there, with the given compiler."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Clone what is committed and run ``make demo`` and ``make test``."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        for door in ("demo", "test"):
            subprocess.run(["make", door], cwd=clone, check=True)
        version = subprocess.run(
            [clone / ".venv/bin/georestrict", "--version"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert "python core" in version, version
    return 0


if __name__ == "__main__":
    sys.exit(main())
