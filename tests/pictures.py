"""Take the pictures of the report in ``docs/images``: ``python -m tests.pictures``.

They show what never was (:mod:`tests.replayed`), in the distribution's Chromium. Pillow (``pip
install pillow``) makes them a third as large, with fewer colours.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from georestrict.replay.page import render
from tests import replayed

FOLDER = Path(__file__).parents[1] / "docs/images"
#: What is taken, by the file's name: the report, width and height, the colour scheme.
PICTURES: dict[str, tuple[str, int, int, Any]] = {
    "replay-desktop-light.png": ("one", 1280, 1450, "light"),
    "replay-desktop-dark.png": ("two", 1280, 2000, "dark"),
    "replay-phone-light.png": ("two", 375, 1900, "light"),
    "replay-phone-dark.png": ("one", 375, 1500, "dark"),
}


def main() -> None:
    """Take them all."""
    from PIL import Image

    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for file, (name, width, height, scheme) in PICTURES.items():
            report = Path(folder) / f"{name}.html"
            html = render(getattr(replayed, name)(), made=replayed.MADE)
            report.write_text(html, encoding="utf-8")
            page = browser.new_page(
                viewport={"width": width, "height": height}, color_scheme=scheme
            )
            page.goto(report.as_uri())
            page.screenshot(path=FOLDER / file)
            picture = Image.open(FOLDER / file).convert("RGB")
            picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
                FOLDER / file, optimize=True
            )
            print(f"{file}: {(FOLDER / file).stat().st_size:,} bytes")
        browser.close()


if __name__ == "__main__":
    main()
