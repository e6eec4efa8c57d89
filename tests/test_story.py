"""The story that georestrict is for, replayed: two vendors, one database, four instants."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import openai
import pytest

from georestrict import Database, Engine
from tests.test_docs import read_blocks, read_table
from tests.test_servers import serving
from tests.web import Answer, Request, through_asgi, through_wsgi

ROOT = Path(__file__).parents[1]
STORY = ROOT / "docs/story.md"
POLICIES = ROOT / "examples/policies"
CODE = "unsupported_country_region_territory"

# The day before the notice, its day, the last second of the warning, and the block.
INSTANTS = (
    "2024-06-24T00:00:00Z",
    "2024-06-25T00:00:00Z",
    "2024-07-08T23:59:59Z",
    "2024-07-09T00:00:00Z",
)
UNSUPPORTED = ("allow", "warn", "warn", "block")
# An address that the default data places there.
ADDRESSES = {
    "CN": "175.16.199.1",
    "HK": "1.64.0.1",
    "IR": "5.160.0.1",
    "GB": "81.2.69.142",
    "US": "73.10.0.1",
}
ELIGIBLE = {"customer": "eligible", "deployment_region": "japaneast"}

Through = Callable[..., Answer]


@pytest.fixture(params=[through_asgi, through_wsgi], ids=["asgi", "wsgi"])
def through(request: pytest.FixtureRequest) -> Through:
    chosen: Through = request.param
    return chosen


def seconds(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp()


class Operator:
    """A vendor's engine, whose clock the test sets."""

    def __init__(self, name: str, database: Database) -> None:
        self._now = 0.0
        self.engine = Engine(
            POLICIES / f"ai-vendor-{name}.toml", database=database, clock=lambda: self._now
        )

    def at(self, instant: str) -> Engine:
        """Set the clock."""
        self._now = seconds(instant)
        return self.engine


@pytest.fixture(scope="module")
def direct(database: Database) -> Operator:
    return Operator("direct", database)


@pytest.fixture(scope="module")
def cloud(database: Database) -> Operator:
    return Operator("cloud", database)


def call(address: str, path: str = "/v1/chat/completions") -> Request:
    return Request(peer=address, method="POST", target=path)


def done(answer: Answer) -> str:
    """What happened to a request, as its client sees it."""
    if not answer.served:
        assert answer.status == 403
        return "block"
    assert answer.status == 200
    return "warn" if "georestrict-warning" in answer.headers else "allow"


def test_the_table_of_the_story_is_what_the_two_policies_say(
    direct: Operator, cloud: Operator
) -> None:
    asked: dict[str, tuple[Engine, dict[str, str]]] = {
        "direct": (direct.engine, {}),
        "cloud": (cloud.engine, {}),
        "cloud, eligible": (cloud.engine, ELIGIBLE),
    }
    computed = [
        {"from": country, "policy": name}
        | {
            instant: str(
                engine.decide(
                    address, attributes=attributes, at=datetime.fromisoformat(instant)
                ).action
            )
            for instant in INSTANTS
        }
        for country, address in ADDRESSES.items()
        for name, (engine, attributes) in asked.items()
    ]
    assert read_table(STORY, "# Two vendors, one database") == computed


@pytest.mark.parametrize(("instant", "expected"), [*zip(INSTANTS, UNSUPPORTED, strict=True)])
@pytest.mark.parametrize("country", ["CN", "HK", "IR"])
def test_an_unsupported_country_is_let_in_then_warned_then_refused(
    through: Through, country: str, instant: str, expected: str, direct: Operator
) -> None:
    answer = through(call(ADDRESSES[country]), engine=direct.at(instant))
    assert done(answer) == expected
    if expected == "warn":
        warning = answer.headers["georestrict-warning"]
        assert f'code="{CODE}"' in warning and f'country="{country}"' in warning
    if expected == "block":
        assert f'"code": "{CODE}"' in answer.body.decode()


@pytest.mark.parametrize("instant", INSTANTS)
@pytest.mark.parametrize("country", ["GB", "US"])
def test_a_supported_country_stays_as_it_was(
    through: Through, country: str, instant: str, direct: Operator
) -> None:
    answer = through(call(ADDRESSES[country]), engine=direct.at(instant))
    assert done(answer) == "allow"


def test_the_decision_follows_the_clock_there_and_back(through: Through, direct: Operator) -> None:
    there_and_back = (*INSTANTS, *INSTANTS[::-1])
    seen = [done(through(call(ADDRESSES["CN"]), engine=direct.at(at))) for at in there_and_back]
    assert tuple(seen) == UNSUPPORTED + UNSUPPORTED[::-1]


@pytest.mark.parametrize("path", ["/account/export", "/billing/invoices/7", "/appeal", "/status"])
def test_what_the_refused_need_stays_open_to_them(
    through: Through, path: str, direct: Operator
) -> None:
    answer = through(call(ADDRESSES["CN"], path), engine=direct.at(INSTANTS[-1]))
    assert done(answer) == "allow"


@pytest.mark.parametrize(
    ("country", "told", "expected"),
    [
        ("CN", ELIGIBLE, "allow"),
        ("HK", ELIGIBLE, "allow"),
        ("HK", {"customer": "eligible"}, "block"),
        ("HK", {}, "block"),
        ("IR", ELIGIBLE, "block"),
        ("GB", {}, "allow"),
    ],
)
def test_the_second_vendor_serves_whom_it_calls_eligible(
    through: Through, country: str, told: dict[str, str], expected: str, cloud: Operator
) -> None:
    answer = through(
        call(ADDRESSES[country]),
        engine=cloud.at(INSTANTS[-1]),
        attributes=lambda _: told,
    )
    assert done(answer) == expected


# Answers as the vendor's API does, as far as the client library looks. Its clock stands at the
# time that the file `now` holds.
API = f"""
import json
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route

from georestrict import Engine
from georestrict.address import TrustedProxies
from georestrict.asgi import GeoRestrictMiddleware


async def complete(request):
    asked = json.loads(await request.body())
    message = {{"role": "assistant", "content": "hello"}}
    return JSONResponse({{
        "id": "1", "object": "chat.completion", "created": 1, "model": asked["model"],
        "choices": [{{"index": 0, "finish_reason": "stop", "message": message}}],
    }})


engine = Engine({str(POLICIES / "ai-vendor-direct.toml")!r}, clock=lambda: float(Path("now").read_text()))
guard = Middleware(GeoRestrictMiddleware, engine=engine, client=TrustedProxies("127.0.0.1/32"))
app = Starlette(
    routes=[Route("/v1/chat/completions", complete, methods=["POST"])], middleware=[guard]
)
"""
UVICORN = ["uvicorn", "app:app", "--no-proxy-headers", "--port"]


class Vendor:
    """A running vendor, whose clock the test sets."""

    def __init__(self, folder: Path, url: str) -> None:
        self._now, self.url = folder / "now", f"{url}/v1"

    def set(self, instant: str) -> None:
        """Set its clock."""
        self._now.write_text(str(seconds(instant)))

    def customer(self, country: str) -> openai.OpenAI:
        """The program of a customer there; each keeps its connections to itself."""
        return openai.OpenAI(
            base_url=self.url,
            api_key="-",
            max_retries=0,
            default_headers={"X-Forwarded-For": ADDRESSES[country]},
        )


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendor]:
    folder = tmp_path_factory.mktemp("vendor")
    with serving(folder, API, UVICORN) as url:
        yield Vendor(folder, url)


def complete(client: openai.OpenAI) -> Any:
    return client.chat.completions.with_raw_response.create(
        model="small", messages=[{"role": "user", "content": "hi"}]
    )


@pytest.mark.parametrize("country", ["CN", "HK", "IR"])
def test_the_official_client_works_is_warned_and_then_raises_permission_denied(
    vendor: Vendor, country: str
) -> None:
    with vendor.customer(country) as client:
        warnings = []
        for instant in INSTANTS[:3]:
            vendor.set(instant)
            answer = complete(client)
            assert answer.parse().choices[0].message.content == "hello"
            warnings.append(answer.headers.get("GeoRestrict-Warning"))
        assert warnings[0] is None
        assert all(f'code="{CODE}"' in warning for warning in warnings[1:])

        vendor.set(INSTANTS[3])
        with pytest.raises(openai.PermissionDeniedError) as caught:
            complete(client)
    assert (caught.value.status_code, caught.value.code) == (403, CODE)
    assert caught.value.type == "request_forbidden"


@pytest.mark.parametrize("country", ["GB", "US"])
def test_the_official_client_notices_nothing_in_a_supported_country(
    vendor: Vendor, country: str
) -> None:
    with vendor.customer(country) as client:
        for instant in INSTANTS:
            vendor.set(instant)
            answer = complete(client)
            assert answer.parse().choices[0].message.content == "hello"
            assert "GeoRestrict-Warning" not in answer.headers


def test_the_program_that_the_story_shows_runs(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GUARDED_URL", vendor.url)
    monkeypatch.setenv("OPENAI_API_KEY", "-")
    works, raises = (block for block in read_blocks(STORY) if block.language == "python")
    names: dict[str, Any] = {}
    # its reader sends no forwarding header; the proxy in front of the vendor does
    code = re.sub(
        r'api_key="-"',
        f'api_key="-", default_headers={{"X-Forwarded-For": "{ADDRESSES["CN"]}"}}',
        works.text,
    )
    vendor.set(INSTANTS[1])
    exec(code, names)
    assert f'code="{CODE}"' in capsys.readouterr().out
    vendor.set(INSTANTS[3])
    refused: list[openai.PermissionDeniedError] = []
    names["refused"] = refused
    exec(raises.text + "    refused.append(error)\n", names)
    names["client"].close()
    assert [error.code for error in refused] == [CODE]
