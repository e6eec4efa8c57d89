"""How long one lookup of a country takes from Python.

The peer is iptocc (Rust, country only), which has data of its own; so its answers are compared
first, and how many differ is part of the result. Bias: a loop over text that was just made favours
whoever reads less memory.
"""

from __future__ import annotations

import iptocc

from benchmarks.common import interleaved, random_ipv4, save
from georestrict import Database


def main() -> None:
    """Measure hot and uniform addresses, and write the result."""
    country = Database.open().country
    peer = iptocc.country_code
    results: dict[str, object] = {}
    for trace, addresses in (
        ("hot", random_ipv4(1000, 1) * 100),
        ("uniform", random_ipv4(1_000_000, 2)),
    ):
        differing = sum(country(address) != peer(address) for address in addresses)

        def ours(addresses: list[str] = addresses) -> None:
            for address in addresses:
                country(address)

        def theirs(addresses: list[str] = addresses) -> None:
            for address in addresses:
                peer(address)

        def loop(addresses: list[str] = addresses) -> None:
            for _ in addresses:
                pass

        timed = interleaved(
            {"georestrict": ours, "iptocc": theirs, "empty loop": loop}, len(addresses)
        )
        empty = timed["empty loop"]["median_ns"]
        net = {
            name: round(found["median_ns"] - empty, 1)
            for name, found in timed.items()
            if name != "empty loop"
        }
        results[trace] = {
            "addresses": len(addresses),
            "answers_differ": differing,
            "timed": timed,
            "net_ns": net,
            "iptocc_over_georestrict": round(net["iptocc"] / net["georestrict"], 2),
        }
        print(f"lookup, {trace}: georestrict {net['georestrict']} ns, iptocc {net['iptocc']} ns")
    save("lookup", results)


if __name__ == "__main__":
    main()
