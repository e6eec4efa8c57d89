"""The app, asked by clients from several countries through Flask's own test client."""

from app import create_app
from flask.testing import FlaskClient

from georestrict.address import Peer

CUBA, VENEZUELA, SWEDEN, UNITED_STATES = "152.206.0.1", "186.88.0.1", "89.160.20.112", "73.0.0.1"


def client_from(address: str) -> FlaskClient:
    """Make a client with an address; no proxy is in front of it."""
    client: FlaskClient = create_app(client=Peer()).test_client()
    client.environ_base["REMOTE_ADDR"] = address
    return client


def test_a_client_that_is_let_in_is_told_where_it_appears_to_be() -> None:
    assert "you appear to be in SE" in client_from(SWEDEN).get("/").text


def test_a_blocked_client_gets_our_page_and_can_still_write_to_us() -> None:
    client = client_from(CUBA)
    refused = client.get("/")
    assert refused.status_code == 403
    assert "unsupported_country_region_territory" in refused.text
    assert client.get("/nothing").status_code == 403
    assert client.get("/contact").text == "write to us"


def test_a_warned_client_is_served_and_warned() -> None:
    answer = client_from(VENEZUELA).get("/")
    assert answer.status_code == 200
    assert 'country="VE"' in answer.headers["GeoRestrict-Warning"]


def test_wine_is_only_sent_where_it_is_let_in() -> None:
    assert client_from(SWEDEN).get("/wine").text == "wine, sent to SE"
    assert client_from(UNITED_STATES).get("/wine").status_code == 403
    assert client_from(UNITED_STATES).get("/").status_code == 200
