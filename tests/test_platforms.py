"""Platforms: what each really sends is understood, and what a client forges is not."""

from __future__ import annotations

import pytest

from georestrict.address import Strategy, platforms
from georestrict.errors import ConfigurationError

Headers = list[tuple[bytes, bytes]]
CLIENT, FORGED = "81.2.69.142", "175.16.199.1"
OWN = "10.0.3.0/24"


def xff(value: str) -> Headers:
    return [(b"x-forwarded-for", value.encode())]


CASES: dict[str, tuple[Strategy, str, Headers]] = {
    "nginx": (platforms.nginx(OWN), "10.0.3.7", xff(f"{FORGED}, {CLIENT}")),
    "nginx over a unix socket": (platforms.nginx(OWN, unix=True), "unix:", xff(f"{FORGED}, {CLIENT}")),
    "an ingress": (platforms.kubernetes_ingress(OWN), "10.0.3.7", xff(f"{FORGED}, {CLIENT}")),
    "Cloudflare": (
        platforms.cloudflare(), "172.68.10.1",
        [*xff(f"{FORGED}, {CLIENT}"), (b"cf-connecting-ip", CLIENT.encode()), (b"x-real-ip", FORGED.encode())],
    ),
    "Cloudflare over IPv6": (platforms.cloudflare(), "2400:cb00:1::7", [(b"cf-connecting-ip", CLIENT.encode())]),
    "Cloudflare, then own proxies": (
        platforms.cloudflare(OWN), "10.0.3.7",
        [*xff(f"{FORGED}, {CLIENT}, 172.68.10.1"), (b"cf-connecting-ip", FORGED.encode())],
    ),
    "an ALB": (platforms.aws_alb("10.0.1.0/24", "10.0.2.0/24"), "10.0.2.9", xff(f"{FORGED}, {CLIENT}")),
    "CloudFront": (platforms.cloudfront("130.176.0.0/16"), "130.176.1.1", xff(f"{FORGED}, {CLIENT}")),
    "CloudFront, then an ALB": (
        platforms.cloudfront_and_alb("10.0.1.0/24"), "10.0.1.9", xff(f"{FORGED}, {CLIENT}, 130.176.1.1"),
    ),
    "Google Cloud": (platforms.google_cloud(), "35.191.0.7", xff(f"{FORGED}, {CLIENT}, 34.1.1.1")),
    "Google Cloud over IPv6": (platforms.google_cloud(), "2600:2d00:1:b029::1", xff(f"{CLIENT}, 2600:1901::1")),
    "Front Door": (
        platforms.azure_front_door("147.243.0.0/16"), "147.243.1.1",
        [*xff(FORGED), (b"x-azure-clientip", FORGED.encode()), (b"x-azure-socketip", CLIENT.encode())],
    ),
    "App Gateway": (platforms.azure_app_gateway("10.0.4.0/24"), "10.0.4.5", xff(f"{FORGED}:1, {CLIENT}:50123")),
    "Heroku": (platforms.heroku(), "10.1.34.201", xff(f"{FORGED}, {CLIENT}")),
    "Fly": (platforms.fly(), "172.19.4.1", [*xff(f"{FORGED}, {CLIENT}, 66.241.124.230"), (b"fly-client-ip", CLIENT.encode())]),
    "Fly over 6PN": (platforms.fly(), "fdaa::3", [(b"fly-client-ip", CLIENT.encode())]),
}  # fmt: skip


@pytest.mark.parametrize(("strategy", "peer", "headers"), CASES.values(), ids=CASES)
def test_the_client_is_who_the_platform_says_not_who_it_says_it_is(
    strategy: Strategy, peer: str, headers: Headers
) -> None:
    assert str(strategy.resolve(peer, headers).address) == CLIENT


@pytest.mark.parametrize(("strategy", "peer", "headers"), CASES.values(), ids=CASES)
def test_who_is_not_the_platform_is_not_believed(
    strategy: Strategy, peer: str, headers: Headers
) -> None:
    if strategy != platforms.heroku():
        assert str(strategy.resolve(FORGED, headers).address) == FORGED
        assert strategy.resolve("192.168.7.7", headers).address is None


@pytest.mark.parametrize(
    "build",
    [platforms.nginx, platforms.kubernetes_ingress, platforms.aws_alb, platforms.cloudfront,
     platforms.cloudfront_and_alb, platforms.azure_front_door, platforms.azure_app_gateway],
)  # fmt: skip
def test_what_only_the_owner_knows_must_be_said(build: object) -> None:
    with pytest.raises(ConfigurationError, match="at least one trusted range"):
        build()  # type: ignore[operator]


def test_published_ranges_are_networks_and_overlap_nothing_private() -> None:
    assert len(platforms.CLOUDFLARE) == len(set(platforms.CLOUDFLARE)) == 22
    for peer in ("10.0.0.1", "127.0.0.1", "192.168.1.1", "::1", "100.64.0.1"):
        for strategy in (platforms.cloudflare(), platforms.google_cloud()):
            assert (
                strategy.resolve(peer, [(b"x-forwarded-for", b"1.1.1.1, 2.2.2.2")]).address is None
            )


@pytest.mark.parametrize("worker", ["2a06:98c0:3600::103", "2a06:98c0:3600:ffff::"])
def test_a_cloudflare_worker_cannot_choose_its_client(worker: str) -> None:
    strategy = platforms.cloudflare(OWN)
    assert (
        str(strategy.resolve("10.0.3.7", xff(f"{FORGED}, {worker}, 172.68.1.1")).address) == worker
    )
    for edge in ("2a06:98c0:35ff::1", "2a06:98c0:3601::1", "2a06:98c7::1"):
        assert str(strategy.resolve("10.0.3.7", xff(f"{CLIENT}, {edge}")).address) == CLIENT
