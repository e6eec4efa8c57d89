"""Imports run one way, along the flow; this table is the whole of what may import what."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

PACKAGE = Path(__file__).parents[1] / "georestrict"

# room -> the rooms that it may import; each line may name only rooms above it
ALLOWED: dict[str, set[str]] = {
    "version": set(),
    "errors": set(),
    "tomlfile": {"errors"},
    "tomllines": set(),
    "_core": set(),
    "countries": set(),
    "groups": set(),
    "subdivisions": {"countries"},
    "asns": set(),
    "special": {"_core"},
    "address": {"errors", "_core", "special"},
    "networks": set(),
    "table": {"errors"},
    "sources": {"errors", "_core", "subdivisions", "asns", "networks", "table"},
    "update": {"version", "errors", "table"},
    "cache": {"version", "errors", "table"},
    "record": {"errors", "networks", "sources", "table"},
    "layers": {"_core", "countries", "subdivisions", "special", "networks", "sources", "record"},
    "manifest": {
        "errors", "_core", "countries", "subdivisions", "asns", "special", "networks", "sources",
        "update", "record", "layers", "table", "tomlfile", "tomllines",
    },
    "location": {"networks"},
    "database": {
        "errors", "_core", "countries", "subdivisions", "asns", "special", "networks", "sources",
        "record", "layers", "manifest", "location", "table", "cache", "tomlfile",
    },
    "extent": {"_core"},
    "comparison": {"_core", "networks", "location", "database", "extent"},
    "gates": {"subdivisions", "manifest", "location", "database"},
    "renewal": {"version", "errors", "tomlfile", "table", "update", "manifest", "database", "gates"},
    "paths": set(),
    "policy": {
        "errors", "_core", "countries", "groups", "subdivisions", "asns", "networks", "paths",
        "tomlfile", "tomllines",
    },
    "repeats": set(),
    "accounts": {"errors", "networks", "policy", "repeats"},
    "decision": {"location", "policy"},
    "coverage": {"errors", "subdivisions", "database", "policy"},
    "labels": set(),
    "age": {"errors", "tomlfile", "networks", "location", "database", "policy", "labels"},
    "lists": {
        "errors", "tomlfile", "_core", "sources", "table", "cache", "database", "policy",
        "coverage", "labels",
    },
    "masks": set(),
    "request": {"policy"},
    "mounts": {"request"},
    "routes": {"_core", "masks", "paths", "policy", "request"},
    "verdicts": {
        "_core", "groups", "networks", "subdivisions", "location", "policy", "decision", "labels",
        "masks", "request", "routes",
    },
    "emergency": set(),
    "watch": set(),
    "prepare": {"errors", "_core", "cache", "record", "database", "policy", "lists"},
    "snapshot": {
        "_core", "location", "database", "policy", "decision", "labels", "lists", "request",
        "verdicts", "emergency", "age",
    },
    "origin": {
        "age", "errors", "_core", "database", "policy", "accounts", "decision", "emergency", "watch", "prepare", "snapshot",
    },
    "engine": {
        "errors", "_core", "location", "database", "policy", "accounts", "decision", "request", "emergency",
        "watch", "prepare", "snapshot", "origin",
    },
    "response": {"errors", "countries", "policy", "decision"},
    "diagnose": {"address", "special"},
    "observe": {
        "errors", "_core", "countries", "address", "networks", "location", "policy", "repeats", "decision", "request", "engine",
        "diagnose",
    },
    "stopwatch": set(),
    "guard": {
        "errors", "address", "database", "policy", "accounts", "decision", "request", "engine", "snapshot", "response",
        "observe", "stopwatch",
    },
    "endpoints": {"errors", "policy", "guard"},
    "asgi": {
        "_core", "address", "policy", "request", "mounts", "response", "guard", "endpoints",
    },
    "wsgi": {
        "_core", "address", "policy", "request", "response", "guard", "endpoints",
    },
    "healthcheck": {"errors", "age", "engine", "policy"},
    "metrics": {"version", "errors", "policy", "decision", "engine", "observe", "guard", "healthcheck"},
    "reload": {"errors", "engine"},
    "testing": {
        "errors", "_core", "countries", "networks", "sources", "table", "layers", "manifest", "database", "policy",
        "accounts", "decision", "origin", "engine", "response",
    },
    "__init__": {
        "version", "_core", "errors", "networks", "location", "database", "policy", "accounts",
        "decision", "engine", "endpoints", "healthcheck",
    },
    "trial": {
        "errors", "age", "coverage", "tomllines", "tomlfile", "_core", "countries", "subdivisions", "groups", "networks", "sources",
        "location", "database", "extent", "paths", "policy", "decision", "labels", "lists", "request", "routes", "verdicts",
        "snapshot", "response",
    },
    "django": {
        "errors", "decision", "engine", "guard", "asgi", "wsgi", "healthcheck", "trial",
    },
    "replay": {
        "version", "errors", "countries", "address", "location", "database", "policy", "accounts", "decision", "request", "mounts", "snapshot", "observe",
    },
    "cli": {
        "age", "__init__", "errors", "tomlfile", "tomllines", "_core", "groups", "table", "record", "manifest",
        "address", "networks", "location", "database", "extent", "comparison", "diagnose", "guard", "paths", "policy", "accounts", "decision", "request", "asgi",
        "response", "snapshot", "engine", "trial", "replay", "update", "renewal", "observe",
    },
    "__main__": {"cli"},
}  # fmt: skip

# what the package needs of others, and only there
THIRD_PARTY = {
    "cli": {"click"},
    "sources": {"maxminddb"},
    "accounts": {"cachetools", "redis"},
    "update": {"httpx"},
    "metrics": {"opentelemetry", "prometheus_client"},
    "django": {"django"},  # the one framework that has settings, so the one with a room
    "replay": {"jinja2", "markupsafe", "polars", "pyarrow", "pyspark", "zstandard"},
}
STANDARD = set(__import__("sys").stdlib_module_names)


def rooms() -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyx")]):
        found.setdefault(path.relative_to(PACKAGE).parts[0].partition(".")[0], []).append(path)
    return found


def imported(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".pyx":
        text = "\n".join(
            line for line in text.splitlines() if line.startswith(("from georestrict", "import "))
        )
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= (
                {f"{node.module}.{alias.name}" for alias in node.names}
                if node.module == "georestrict"
                else {str(node.module)}
            )
    return names


def test_every_room_is_in_the_table() -> None:
    assert set(rooms()) == set(ALLOWED)


def test_the_table_has_no_back_edge() -> None:
    order = list(ALLOWED)
    for room, wanted in ALLOWED.items():
        assert all(order.index(other) < order.index(room) for other in wanted), room


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_imports_only_what_the_table_allows(room: str) -> None:
    used, foreign = set(), set()
    for path in rooms()[room]:
        for name in imported(path):
            package, *rest = name.split(".")
            if package != "georestrict":
                foreign.add(package)
            elif rest and rest[0] in ALLOWED:
                used.add(rest[0])
            else:
                used.add("__init__")
    assert used - {room} == ALLOWED[room] - {room}
    assert foreign - STANDARD <= THIRD_PARTY.get(room, set())


def test_the_package_itself_imports_no_framework_but_in_the_room_for_django() -> None:
    others = {room: paths for room, paths in rooms().items() if room != "django"}
    names = set().union(*(imported(path) for paths in others.values() for path in paths))
    assert "georestrict.django" not in {".".join(name.split(".")[:2]) for name in names}
    assert not {name.partition(".")[0] for name in names} & {
        "starlette",
        "fastapi",
        "django",
        "flask",
        "uvicorn",
    }
