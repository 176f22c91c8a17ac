"""A cache and an environment of the test's own, and a server on this machine that serves well or badly."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pooch
import pytest
from PIL import Image

SavePicture = Callable[..., Path]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setattr(pooch, "os_cache", lambda project: folder / project)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    if request.node.get_closest_marker("data") is None:
        monkeypatch.delenv("NEXTPIXEL_DATA", raising=False)
    return folder


@pytest.fixture
def save_picture(tmp_path: Path) -> SavePicture:
    """Write a picture of one value; returns its path."""

    def save(name: str, *, mode: str = "L", size: tuple[int, int] = (4, 3), color: Any = 7) -> Path:
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, size, color).save(path)
        return path

    return save


@pytest.fixture
def save_arrays(tmp_path: Path) -> Callable[..., Path]:
    """Write an npz file; returns its path."""

    def save(**arrays: Any) -> Path:
        path = tmp_path / "own.npz"
        np.savez(path, **arrays)
        return path

    return save


@pytest.fixture
def serve() -> Iterator[Callable[[dict[str, bytes]], str]]:
    """Serve files and return the server's address.

    Below `good/` they are right, below `wrong/` another byte follows, below `cut/` the second half is never sent; all
    else is not found.
    """
    servers: list[ThreadingHTTPServer] = []

    def start(files: dict[str, bytes]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                _, manner, name = self.path.split("/", 2)
                if manner not in ("good", "wrong", "cut") or name not in files:
                    self.send_error(404)
                    return
                content = files[name] + (b"!" if manner == "wrong" else b"")
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if manner == "cut" else content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
