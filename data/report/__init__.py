"""What the default data is worth: measured against references, written to ``data/REPORT.md``.

``make data-report`` runs :mod:`data.report.__main__`. Each module is one section of the report.
"""
