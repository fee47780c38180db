"""Whether the network is there: directly, through a proxy, in time."""

import http.server
import io
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from yanlm.data.connection import reachable


class _Hub(http.server.BaseHTTPRequestHandler):
    """A hub, or a proxy to one, that answers everything with one status."""

    status = 200

    def do_HEAD(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    made = http.server.HTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    made.server_close()


@pytest.mark.usefixtures("plain_network")
class TestNetwork:
    def test_a_hub_that_does_not_answer(self) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
            address = f"http://127.0.0.1:{silent.getsockname()[1]}"
            assert reachable(address)  # it takes the connection, which is all that is asked

    def test_names_that_are_slow_to_look_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(socket, "create_connection", lambda *_: time.sleep(1) or io.BytesIO())
        assert not reachable("https://hub.invalid", 0.1)

    def test_direct_and_through_a_proxy(self, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
        assert reachable(server)
        monkeypatch.setenv("http_proxy", server)
        assert reachable("http://hub.invalid")
        monkeypatch.setattr(_Hub, "status", 404)  # the hub's word, not the proxy's
        assert reachable("http://hub.invalid")
        monkeypatch.setattr(_Hub, "status", 503)
        assert not reachable("http://hub.invalid")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        assert not reachable("http://hub.invalid")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert reachable(server)
        monkeypatch.setenv("all_proxy", server.replace("http", "socks5"))
        assert reachable("https://hub.invalid")
