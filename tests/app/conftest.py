"""A running app and a real Chromium; `make test-app` (NEXTPIXEL_APP=1) takes no absence of either as an excuse."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import nextpixel as npx

PATIENCE = 90_000  # milliseconds: a busy machine is no failure
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # the canvas needs WebGL
SCREENSHOTS = Path(__file__).parents[2] / "build" / "app"
# Whatever in the app's process asks for another machine is written down, and refused.
WATCH = """
import sys
def watch(event, args):
    if event == "socket.connect" and not isinstance(args[1], (str, bytes)):
        asked = args[1][0]
    elif event == "socket.getaddrinfo":
        asked = args[0]
    else:
        return
    if asked not in ("127.0.0.1", "::1", "localhost", "0.0.0.0", None, b"127.0.0.1", b"localhost"):
        with open({file!r}, "a") as file:
            print(asked, file=file)
        raise OSError("no network")
sys.addaudithook(watch)
"""


def lacking(what: str) -> None:
    if os.environ.get("NEXTPIXEL_APP"):
        pytest.fail(f"There is no {what}, which make test-app needs.")
    pytest.skip(f"there is no {what}; make test-app installs it")


@dataclass(frozen=True)
class App:
    """A process that serves the page."""

    address: str
    process: int
    folder: Path  # its temporary one
    outside: Path  # what it asked of other machines

    def seconds(self) -> float:
        """Of the processor that it has taken."""
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def arguments() -> list[str]:
    """Of `nextpixel app`; a module of tests may have its own."""
    return []


@pytest.fixture(scope="module")
def app(chromium: Any, arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    folder = tmp_path_factory.mktemp("app")
    (folder / "temporary").mkdir()
    (folder / "sitecustomize.py").write_text(WATCH.format(file=str(folder / "outside")))
    paths = [str(folder), str(Path(npx.__file__).parents[1])]
    changed = {"PYTHONPATH": os.pathsep.join(paths), "TMPDIR": str(folder / "temporary")}
    environment = {**os.environ, **changed, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "nextpixel.cli", "app", *arguments]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True)
        assert server.stdout is not None
        said = server.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", said)
        assert found, said + (folder / "log").read_text()
        yield App(found[0], server.pid, folder / "temporary", folder / "outside")
        server.send_signal(signal.SIGTERM)
        server.stdout.close()
        assert server.wait(60) == 0
    assert not list((folder / "temporary").iterdir()), "nothing stays of what was uploaded or made"
    told = (folder / "log").read_text()  # gradio refuses paths of thieves so; nothing else may fail
    assert told.count("Traceback") == told.count("InvalidPathError: Cannot move"), told


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        lacking("playwright")
        raise
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        lacking("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(app: App, chromium: Any) -> Iterator[Callable[[], Any]]:
    """Opens the page for one more user, who asks for nothing outside of this machine."""
    contexts, outside, failed = [], [], []

    def note(request: Any) -> None:
        if not request.url.startswith((app.address, "data:", "blob:")):
            outside.append(request.url)

    def opened() -> Any:
        context = chromium.new_context(viewport={"width": 1100, "height": 900}, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("request", note)
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.goto(app.address)
        page.get_by_role("button", name="Draw", exact=True).wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not outside
    assert not failed


@pytest.fixture
def screenshot() -> Callable[[Any, str], None]:
    """Keeps a picture of the page in build/app, to be looked at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)

    def take(page: Any, name: str) -> None:
        page.mouse.move(5, 5)
        page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    return take
