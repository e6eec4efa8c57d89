"""``python -m georestrict.cli``."""

from georestrict.cli import main

main(prog_name="georestrict")
