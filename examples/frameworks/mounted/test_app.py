"""The apps, asked by clients from several countries; the prefix is what a proxy has cut off."""

import pytest
from app import app
from starlette.testclient import TestClient, WebSocketDenialResponse

NORTH_KOREA, SWEDEN, JAPAN, OFFICE = "175.45.176.1", "89.160.20.112", "2001:218::1", "10.1.2.3"
CASES = (
    (JAPAN, "/", 200),
    (JAPAN, "/api/models", 200),
    (JAPAN, "/admin/users", 403),
    (SWEDEN, "/", 200),
    (SWEDEN, "/api/models", 403),
    (SWEDEN, "/api/status", 200),
    (NORTH_KOREA, "/", 403),
    (NORTH_KOREA, "/api/status", 200),
    (NORTH_KOREA, "/api/models", 403),
    (OFFICE, "/admin/users", 200),
)


@pytest.mark.parametrize("root_path", ["", "/service"])
@pytest.mark.parametrize(("address", "path", "status"), CASES)
def test_each_app_has_its_own_policy_whatever_is_in_front(
    address: str, path: str, status: int, root_path: str
) -> None:
    client = TestClient(app, client=(address, 50000), root_path=root_path)
    # Servers begin the path with the prefix that they are told of.
    assert client.get(root_path + path).status_code == status


def test_a_websocket_below_a_mount_is_refused_before_it_is_accepted() -> None:
    with TestClient(app, client=(OFFICE, 1)).websocket_connect("/admin/log") as log:
        assert log.receive_text() == "nothing happens"
    with pytest.raises(WebSocketDenialResponse):
        TestClient(app, client=(JAPAN, 1)).websocket_connect("/admin/log").__enter__()
