"""Named strategies for common platforms: each is only a composition of the three for proxies.

Each docstring says whom it trusts. Where a platform publishes its ranges, they are below, with
their source and date; nothing is ever fetched. Ranges that have changed since are noticed, not
guessed about: a peer outside them is not believed, so its requests are decided by the peer's own
address or, if that is private, unresolved.

>>> from georestrict.address import platforms
>>> platforms.aws_alb("10.0.1.0/24", "10.0.2.0/24")
TrustedProxies('10.0.1.0/24', '10.0.2.0/24', header='x-forwarded-for', unix=False)
"""

from __future__ import annotations

from georestrict.address.strategies import SingleHeader, TrustedHops, TrustedProxies

#: Cloudflare's published ranges (https://www.cloudflare.com/ips/), as of 2026-10-05.
CLOUDFLARE = (
    "103.21.244.0/22",
    "103.22.200.0/22",
    "103.31.4.0/22",
    "104.16.0.0/13",
    "104.24.0.0/14",
    "108.162.192.0/18",
    "131.0.72.0/22",
    "141.101.64.0/18",
    "162.158.0.0/15",
    "172.64.0.0/13",
    "173.245.48.0/20",
    "188.114.96.0/20",
    "190.93.240.0/20",
    "197.234.240.0/22",
    "198.41.128.0/17",
    "2400:cb00::/32",
    "2405:8100::/32",
    "2405:b500::/32",
    "2606:4700::/32",
    "2803:f800::/32",
    "2a06:98c0::/29",
    "2c0f:f248::/32",
)

#: From here requests of Cloudflare Workers come, anybody's: an address in it is a client, no hop.
CLOUDFLARE_WORKERS = "2a06:98c0:3600::/48"
_CLOUDFLARE_HOPS = (
    *(text for text in CLOUDFLARE if text != "2a06:98c0::/29"),
    "2a06:98c0::-2a06:98c0:35ff:ffff:ffff:ffff:ffff:ffff",
    "2a06:98c0:3601::-2a06:98c7:ffff:ffff:ffff:ffff:ffff:ffff",
)

#: Google Front Ends and health checks, from Google's page on firewall rules for load balancers,
#: as read on 2026-11-22.
GOOGLE_FRONT_ENDS = (
    "35.191.0.0/16",
    "130.211.0.0/22",
    "2600:2d00:1:1::/64",
    "2600:2d00:1:b029::/64",
)

#: The private networks over which Fly's proxy reaches an app: the 6PN prefix, and its IPv4 side.
FLY = ("172.16.0.0/12", "fdaa::/16")


def nginx(*ranges: str, unix: bool = False) -> TrustedProxies:
    """Your own nginx, with ``proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for``.

    Trusts ``ranges``, the addresses from which nginx connects, and with ``unix`` a unix socket.
    """
    return TrustedProxies(*ranges, unix=unix)


def kubernetes_ingress(*ranges: str) -> TrustedProxies:
    """An ingress controller that appends to ``X-Forwarded-For`` (ingress-nginx, Traefik …).

    Trusts ``ranges``: the network of the controller's pods. Every pod in it can claim to be any
    client, so give the controller a network of its own where the cluster allows.
    """
    return TrustedProxies(*ranges)


def cloudflare(*own: str) -> SingleHeader | TrustedProxies:
    """Cloudflare in front of the server, or of your own proxies in ``own``.

    Trusts :data:`CLOUDFLARE`, from which alone the server (or your proxies) should be reachable:
    without ``own`` to set ``CF-Connecting-IP``, with it to append to ``X-Forwarded-For`` as your
    proxies do. Workers are not trusted: what they send is theirs to choose.
    """
    if own:
        return TrustedProxies(*_CLOUDFLARE_HOPS, *own)
    return SingleHeader("CF-Connecting-IP", CLOUDFLARE)


def aws_alb(*subnets: str) -> TrustedProxies:
    """An AWS Application Load Balancer that appends to ``X-Forwarded-For`` (its default).

    Trusts ``subnets``: those of the load balancer.
    """
    return TrustedProxies(*subnets)


def cloudfront(*ranges: str) -> TrustedHops:
    """Amazon CloudFront right in front of the server: the last entry of ``X-Forwarded-For``.

    Trusts ``ranges``: AWS's list ``com.amazonaws.global.cloudfront.origin-facing``.
    """
    return TrustedHops(1, ranges)


def cloudfront_and_alb(*subnets: str) -> TrustedHops:
    """CloudFront, then a load balancer: the last but one entry of ``X-Forwarded-For``.

    Trusts ``subnets``, those of the load balancer, and that it takes requests from CloudFront
    only: by a security group on the prefix list ``cloudfront.origin-facing``.
    """
    return TrustedHops(2, subnets)


def google_cloud() -> TrustedHops:
    """A global external Application Load Balancer of Google Cloud.

    It appends the client and its own address, so the client is the last but one entry of
    ``X-Forwarded-For``. Trusts :data:`GOOGLE_FRONT_ENDS`. A regional load balancer connects from
    your proxy-only subnet: ``TrustedHops(2, ["<that subnet>"])``.
    """
    return TrustedHops(2, GOOGLE_FRONT_ENDS)


def azure_front_door(*ranges: str) -> SingleHeader:
    """Azure Front Door: ``X-Azure-SocketIP``, the address that connected to it.

    Not ``X-Azure-ClientIP``, which follows what the client says of itself. Trusts ``ranges``: the
    service tag ``AzureFrontDoor.Backend``. Other tenants' profiles come from there, too, so let
    the app or a rule check ``X-Azure-FDID``.
    """
    return SingleHeader("X-Azure-SocketIP", ranges)


def azure_app_gateway(*subnets: str) -> TrustedProxies:
    """An Azure Application Gateway, which appends ``address:port`` to ``X-Forwarded-For``.

    Trusts ``subnets``: the gateway's own subnet.
    """
    return TrustedProxies(*subnets)


def heroku() -> TrustedHops:
    """Heroku's router: the last entry of ``X-Forwarded-For``.

    Trusts every peer, since on Heroku only the router can reach a web dyno.
    """
    return TrustedHops(1)


def fly(*ranges: str) -> SingleHeader:
    """Fly.io: ``Fly-Client-IP``, which Fly's proxy sets.

    Trusts :data:`FLY`, or ``ranges`` instead. Other apps of your organisation are in those
    networks, too, and could claim to be any client.
    """
    return SingleHeader("Fly-Client-IP", ranges or FLY)
