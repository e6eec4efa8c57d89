"""``python -m georestrict``."""

from georestrict.cli import main

if __name__ == "__main__":
    main(prog_name="georestrict")
