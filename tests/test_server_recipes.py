"""examples/servers: what clients get behind each server is what its page says.

nginx and Caddy are started, with the recipe's own file. Cloudflare, the AWS load balancer and the
ingress controller are played: they write the headers as they document it. Clients have addresses
of the small database of ``georestrict.testing``, which stands in for the apps' data.
"""

from __future__ import annotations

import asyncio
import re
import runpy
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from http.client import HTTPResponse
from ipaddress import ip_network
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml

from georestrict.address import platforms
from georestrict.testing import (
    assert_allowed,
    assert_blocked,
    assert_warned,
    client_from,
    standing_in,
    world,
)
from tests.proxies import Place, Programs, connected, free_ports
from tests.test_docs import ROOT, read_table

pytestmark = pytest.mark.once

FOLDER = ROOT / "examples/servers"
RECIPES = sorted(path.parent.name for path in FOLDER.glob("*/README.md"))
EDGE = "104.16.0.7"  # an address of Cloudflare's
Lines = list[tuple[str, str]]
Ask = Callable[[str, Lines], httpx.Response]


class Row(NamedTuple):
    """A row of a page's table of what clients get."""

    client: str
    sends: str
    gets: str

    def check(self, ask: Ask) -> None:
        """Ask as this client, and compare."""
        (country,) = re.findall(r"\((\w\w)\)", self.client)
        lines = []
        if self.sends:
            name, _, value = self.sends.strip("`").partition(": ")
            lines = [(name, re.sub(r"\{(\w\w)\}", lambda found: client_from(found[1]), value))]
        response = ask(client_from(country), lines)
        if self.gets == "200":
            assert_allowed(response, status=200)
            assert response.text == "welcome"
        elif self.gets == "200, and a `GeoRestrict-Warning`":
            assert_warned(response, country=country, status=200)
        elif self.gets == "403 of nginx":
            assert_allowed(response, status=403)
            assert "nginx" in response.text
        else:
            status, code = self.gets.split(", ")
            assert_blocked(response, status=int(status), code=code.strip("`"), country=country)


def rows(recipe: str, heading: str = "## What clients get") -> list[Row]:
    """The rows of a page; every page has a block, a warning, an allow, and headers that lie."""
    table = read_table(FOLDER / recipe / "README.md", heading)
    found = [Row(*row.values()) for row in table]
    if heading.startswith("##"):
        assert {row.gets[:7] for row in found if not row.sends} == {"200", "403, `u", "200, an"}
        assert sum(bool(row.sends) for row in found) >= 5
    return found


def test_every_folder_is_a_recipe_that_is_tried_here() -> None:
    assert RECIPES == ["alb", "caddy", "cloudflare", "kubernetes", "nginx"]
    assert [path.name for path in sorted(FOLDER.iterdir()) if path.is_dir()] == RECIPES


@pytest.mark.parametrize(
    "page", sorted(FOLDER.glob("**/README.md")), ids=lambda page: page.parent.name
)
def test_the_links_of_a_recipe_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", page.read_text())
    assert links
    for link in links:
        assert link.startswith("https://") or (page.parent / link).exists(), link


def test_the_table_of_recipes_names_the_strategy_of_each_app() -> None:
    text = (FOLDER / "README.md").read_text()
    for recipe in RECIPES:
        (row,) = re.findall(
            rf"^\| \[[^]]+\]\({recipe}/README.md\) \| `([^`]+)`", text, re.MULTILINE
        )
        if recipe != "kubernetes":  # whose ranges are in the manifest
            assert f"\nCLIENT = {row}\n" in (FOLDER / recipe / "app.py").read_text()


# --- asking -------------------------------------------------------------------------------------


def over_a_socket(
    place: Place, lines: Lines, *, address: str | None = None, source: str | None = None
) -> httpx.Response:
    """Ask a server; ``address`` is what an nginx that reads the PROXY protocol takes for ours."""
    with connected(place, source) as connection:
        if address is not None:
            connection.sendall(f"PROXY TCP4 {address} 127.0.0.1 40000 80\r\n".encode())
        head = ["GET / HTTP/1.1", "Host: shop.example.com", "Connection: close"]
        head += [f"{name}: {value}" for name, value in lines]
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        response = HTTPResponse(connection)
        response.begin()
        return httpx.Response(
            response.status, headers=response.getheaders(), content=response.read()
        )


def of_app(app: Any, peer: str) -> Callable[[Lines], httpx.Response]:
    """What asks an app in this process, as this peer."""

    async def get(lines: Lines) -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(peer, 40000))
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            return await client.get("/", headers=lines)

    return lambda lines: asyncio.run(get(lines))


def appended(lines: Lines, address: str) -> Lines:
    """The lines as a proxy passes them on that appends to ``X-Forwarded-For``."""
    chain = [value for name, value in lines if name == "X-Forwarded-For"] + [address]
    others = [line for line in lines if line[0] != "X-Forwarded-For"]
    return [*others, ("X-Forwarded-For", ", ".join(chain))]


# --- servers that are started -------------------------------------------------------------------

SERVE = """
import asyncio, runpy, sys
import uvicorn
from georestrict.testing import standing_in, world

def server(path, port):
    app = runpy.run_path(path)["app"]
    return uvicorn.Server(uvicorn.Config(app, port=int(port), proxy_headers=False))

async def serve(pairs):
    await asyncio.gather(*(server(*pair).serve() for pair in pairs))

with standing_in(world()):
    asyncio.run(serve(list(zip(sys.argv[1::2], sys.argv[2::2]))))
"""


def serve(programs: Programs, apps: Iterable[Path]) -> dict[Path, int]:
    """Start these apps as their pages say, all in one process."""
    apps = list(apps)
    ports = dict(zip(apps, free_ports(len(apps)), strict=True))
    pairs = [str(word) for pair in ports.items() for word in pair]
    programs.start("apps", [sys.executable, "-c", SERVE, *pairs], *ports.values())
    return ports


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """One nginx with both files that are for it; its ports."""
    names = ("nginx", "cloudflare")
    with Programs(tmp_path_factory.mktemp("nginx")) as programs:
        apps = serve(programs, [FOLDER / name / "app.py" for name in names])
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        blocks = []
        for name in names:
            text = (FOLDER / name / "nginx.conf").read_text()
            for told, ours in (
                (
                    "    listen 80;\n",
                    f"    listen 127.0.0.1:{ports[name]} proxy_protocol;\n"
                    "    set_real_ip_from 127.0.0.1;\n    real_ip_header proxy_protocol;\n",
                ),
                ("127.0.0.1:8000;", f"127.0.0.1:{apps[FOLDER / name / 'app.py']};"),
            ):
                assert text.count(told) == 1
                text = text.replace(told, ours)
            blocks.append(text)
        programs.start_nginx("\n".join(blocks), *ports.values())
        programs.wait()
        yield ports


@pytest.mark.needs("nginx")
@pytest.mark.parametrize("row", rows("nginx"), ids=" ".join)
def test_behind_nginx_clients_get_what_the_page_says(nginx: dict[str, int], row: Row) -> None:
    row.check(lambda address, lines: over_a_socket(nginx["nginx"], lines, address=address))


@pytest.mark.needs("nginx")
@pytest.mark.parametrize("row", rows("cloudflare"), ids=" ".join)
def test_behind_cloudflare_clients_get_what_the_page_says(nginx: dict[str, int], row: Row) -> None:
    def through_cloudflare(address: str, lines: Lines) -> httpx.Response:
        kept = [line for line in lines if line[0] not in ("CF-Connecting-IP", "X-Real-IP")]
        passed = [*appended(kept, address), ("CF-Connecting-IP", address)]
        return over_a_socket(nginx["cloudflare"], passed, address=EDGE)

    row.check(through_cloudflare)


@pytest.mark.needs("nginx")
@pytest.mark.parametrize("row", rows("cloudflare", "Past Cloudflare:"), ids=" ".join)
def test_nobody_gets_past_cloudflare(nginx: dict[str, int], row: Row) -> None:
    row.check(lambda address, lines: over_a_socket(nginx["cloudflare"], lines, address=address))


def test_the_origin_lets_in_the_ranges_that_the_app_believes_to_be_cloudflares() -> None:
    text = (FOLDER / "cloudflare/nginx.conf").read_text()
    assert tuple(re.findall(r"^    allow (\S+);$", text, re.MULTILINE)) == platforms.CLOUDFLARE
    assert text.index("deny all;") > text.rindex("allow ")


def test_what_a_worker_of_cloudflares_claims_is_not_believed() -> None:
    app = runpy.run_path(str(FOLDER / "cloudflare/app.py"))["app"]
    worker = "2a06:98c0:3600::103"
    with standing_in(world(), engines=[app.engine]):
        ask = of_app(app, "127.0.0.1")
        told = ask([("X-Forwarded-For", f"{client_from('CU')}, {worker}, {EDGE}")])
        assert_allowed(told)  # in no country, and the policy allows those
        found = app.client.resolve(
            "127.0.0.1", [(b"x-forwarded-for", f"{client_from('CU')}, {worker}, {EDGE}".encode())]
        )
    assert str(found.address) == worker


@pytest.fixture(scope="module")
def caddy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """One Caddy with both files; its ports. The load balancer's address becomes loopback's."""
    folder = tmp_path_factory.mktemp("caddy")
    shutil.copytree(FOLDER, folder / "servers")
    alone = folder / "servers/caddy/app.py"
    behind = alone.with_name("behind.py")
    page = (FOLDER / "caddy/README.md").read_text()
    (client,) = re.findall(r"platforms\.nginx\([^)]*10\.0\.3\.9[^)]*\)", page)
    text = alone.read_text()
    assert text.count('platforms.nginx("127.0.0.1/32")') == 1
    behind.write_text(
        text.replace('platforms.nginx("127.0.0.1/32")', client.replace("10.0.3.9", "127.0.0.9"))
    )
    with Programs(folder) as programs:
        apps = serve(programs, [alone, behind])
        ports = dict(zip(("Caddyfile", "Caddyfile.behind"), free_ports(2), strict=True))
        sites = ["{\n\tadmin off\n\tauto_https off\n}\n"]
        for (name, port), app in zip(ports.items(), apps.values(), strict=True):
            site = (FOLDER / "caddy" / name).read_text().replace("10.0.3.9", "127.0.0.9")
            site, places = re.subn(
                r"^(http://)?shop\.example\.com \{",
                f"http://:{port} {{\n\tbind 127.0.0.1",
                site,
                flags=re.M,
            )
            assert places == 1 and site.count("127.0.0.1:8000") == 1
            sites.append(site.replace("127.0.0.1:8000", f"127.0.0.1:{app}"))
        config = folder / "Caddyfile"
        config.write_text("\n".join(sites))
        homes = [f"XDG_{kind}_HOME={folder}" for kind in ("CONFIG", "DATA")]
        run = ["caddy", "run", "--adapter", "caddyfile", "--config", str(config)]
        programs.start("caddy", ["env", *homes, *run], *ports.values())
        programs.wait()
        yield ports


@pytest.mark.slow
@pytest.mark.needs("caddy")
@pytest.mark.parametrize("row", rows("caddy"), ids=" ".join)
def test_behind_caddy_and_a_load_balancer_clients_get_what_the_page_says(
    caddy: dict[str, int], row: Row
) -> None:
    row.check(
        lambda address, lines: over_a_socket(
            caddy["Caddyfile.behind"], appended(lines, address), source="127.0.0.9"
        )
    )


@pytest.mark.slow
@pytest.mark.needs("caddy")
def test_caddy_alone_believes_no_client(caddy: dict[str, int]) -> None:
    """It takes the socket's address, here one of loopback: so nobody gets the country he names."""
    for source in ("127.0.0.5", "127.0.0.9"):
        for country in ("CU", "VE"):
            claim = [("X-Forwarded-For", client_from(country))]
            assert_allowed(over_a_socket(caddy["Caddyfile"], claim, source=source))
    claim = [("X-Forwarded-For", client_from("CU"))]
    assert_allowed(over_a_socket(caddy["Caddyfile.behind"], claim, source="127.0.0.5"))
    assert_blocked(over_a_socket(caddy["Caddyfile.behind"], claim, source="127.0.0.9"))


# --- those that are played ----------------------------------------------------------------------


def documents(recipe: str, name: str) -> dict[str, Any]:
    """The documents of a file of YAML, by their kind."""
    found = list(yaml.safe_load_all((FOLDER / recipe / name).read_text()))
    return {each.get("kind", name): each for each in found}


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    resources: dict[str, Any] = documents("alb", "stack.yaml")["stack.yaml"]["Resources"]
    return {name: each["Properties"] for name, each in resources.items()}


@pytest.fixture(scope="module")
def alb_app() -> Any:
    return runpy.run_path(str(FOLDER / "alb/app.py"))["app"]


def test_behind_the_aws_load_balancer_clients_get_what_the_page_says(alb_app: Any) -> None:
    with standing_in(world(), engines=[alb_app.engine]):
        for peer in ("10.0.1.20", "10.0.2.3"):
            ask = of_app(alb_app, peer)
            for port in ("", ":40000"):  # as xff_client_port says

                def through_alb(
                    address: str, lines: Lines, ask: Any = ask, port: str = port
                ) -> Any:
                    return ask(appended(lines, f"{address}{port}"))

                for row in rows("alb"):
                    row.check(through_alb)


def test_nobody_else_may_play_the_aws_load_balancer(alb_app: Any) -> None:
    with standing_in(world(), engines=[alb_app.engine]):
        told = of_app(alb_app, "10.0.4.9")([("X-Forwarded-For", client_from("DE"))])
        assert_blocked(told, code="client_address_unresolved")


def test_the_stack_has_the_load_balancer_append_and_keeps_others_from_the_app(
    stack: dict[str, Any], alb_app: Any
) -> None:
    attributes = {
        each["Key"]: each["Value"] for each in stack["Balancer"]["LoadBalancerAttributes"]
    }
    assert attributes["routing.http.xff_header_processing.mode"] == "append"
    subnets = [stack[each["Ref"]]["CidrBlock"] for each in stack["Balancer"]["Subnets"]]
    assert tuple(subnets) == alb_app.client.ranges
    (entry,) = stack["AppGroup"]["SecurityGroupIngress"]
    group = {"Fn::GetAtt": ["BalancerGroup", "GroupId"]}
    assert entry["SourceSecurityGroupId"] == group
    assert [group] == stack["Balancer"]["SecurityGroups"]
    assert entry["FromPort"] == entry["ToPort"] == stack["App"]["Port"] == 8000
    assert stack["Listener"]["DefaultActions"][0]["TargetGroupArn"] == {"Ref": "App"}
    assert stack["App"]["HealthCheckPath"] in (FOLDER / "policy.toml").read_text()


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    return documents("kubernetes", "app.yaml")


@pytest.fixture(scope="module")
def container(cluster: dict[str, Any]) -> dict[str, Any]:
    (found,) = cluster["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def pod(
    cluster: dict[str, Any], container: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """The app with the policy, the folder and the variables of the manifest."""
    folder = tmp_path_factory.mktemp("pod")
    (mount,) = container["volumeMounts"]
    for name, text in cluster["ConfigMap"]["data"].items():
        (folder / name).write_text(text)
    variables = {each["name"]: each["value"] for each in container["env"]}
    assert variables["POLICY"].startswith(f"{mount['mountPath']}/")
    variables["POLICY"] = variables["POLICY"].replace(mount["mountPath"], str(folder))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        return runpy.run_path(str(FOLDER / "kubernetes/app.py"))["app"]


def test_behind_an_ingress_controller_clients_get_what_the_page_says(pod: Any) -> None:
    ask = of_app(pod, str(ip_network(pod.client.ranges[0])[5]))

    def replacing(address: str, lines: Lines) -> httpx.Response:  # as Traefik does
        kept = [line for line in lines if line[0] not in ("X-Forwarded-For", "X-Real-IP")]
        return ask([*kept, ("X-Forwarded-For", address), ("X-Real-IP", address)])

    def appending(address: str, lines: Lines) -> httpx.Response:  # as others do
        return ask(appended(lines, address))

    with standing_in(world(), engines=[pod.engine]):
        for row in rows("kubernetes"):
            row.check(replacing)
            row.check(appending)


def test_a_pod_elsewhere_names_no_client_and_the_kubelet_needs_none(
    pod: Any, container: dict[str, Any]
) -> None:
    with standing_in(world(), engines=[pod.engine]):
        told = of_app(pod, "10.42.8.9")([("X-Forwarded-For", client_from("DE"))])
        assert_blocked(told, code="client_address_unresolved")
        for probe in ("readinessProbe", "livenessProbe"):
            path = container[probe]["httpGet"]["path"]
            assert pod.engine.decide(None, path=path).rule == "health"


def test_the_manifests_belong_together(cluster: dict[str, Any], container: dict[str, Any]) -> None:
    deployment, service = cluster["Deployment"]["spec"], cluster["Service"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    network = cluster["NetworkPolicy"]["spec"]
    assert labels == deployment["selector"]["matchLabels"] == service["selector"]
    assert labels == network["podSelector"]["matchLabels"]
    (port,) = container["ports"]
    assert service["ports"][0]["targetPort"] == port["name"]
    assert str(port["containerPort"]) in container["command"]
    assert "--no-proxy-headers" in container["command"]
    (rule,) = cluster["Ingress"]["spec"]["rules"]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    assert backend["name"] == cluster["Service"]["metadata"]["name"]
    assert backend["port"]["name"] == service["ports"][0]["name"]
    (entry,) = network["ingress"]
    (source,) = entry["from"]  # one entry with both: of that namespace, and that pod
    assert {"namespaceSelector", "podSelector"} == {*source}
    (mount,) = container["volumeMounts"]
    assert "subPath" not in mount
    (volume,) = deployment["template"]["spec"]["volumes"]
    assert volume["configMap"]["name"] == cluster["ConfigMap"]["metadata"]["name"]
    values = documents("kubernetes", "traefik-values.yaml")["traefik-values.yaml"]
    assert values["service"]["spec"]["externalTrafficPolicy"] == "Local"
    for entrance in values["ports"].values():
        assert entrance["forwardedHeaders"] == {"insecure": False, "trustedIPs": []}


def test_the_cluster_has_the_policy_of_all_recipes(cluster: dict[str, Any]) -> None:
    shared = tomllib.loads((FOLDER / "policy.toml").read_text())
    assert tomllib.loads(cluster["ConfigMap"]["data"]["policy.toml"]) == shared
