"""Work that nobody waits for any more is ended: on Cancel, and when the page is left."""

import time
from collections.abc import Callable
from typing import Any

import pytest

import nextpixel as npx
from app.conftest import App

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A model of which 64 images take a processor six times as long as these tests allow."""
    path = tmp_path_factory.mktemp("model") / "large.safetensors"
    spec = npx.ImageSpec(3, 64, 64, levels=256)
    npx.save(npx.build("gated_pixelcnn", spec, "categorical", filters=96, blocks=8), path)
    return [str(path)]


@pytest.mark.parametrize("way", ["cancel", "leave"])
def test_work_that_nobody_waits_for_ends(way: str, app: App, visit: Callable[[], Any]) -> None:
    page = visit()
    field = page.get_by_label("number input for Images")
    field.fill("64")
    field.press("Tab")
    page.get_by_role("button", name="Draw", exact=True).click()
    image = page.get_by_role("tabpanel").filter(visible=True).locator("img").first
    image.wait_for()
    if way == "leave":
        page.close()
    else:
        page.get_by_role("button", name="Cancel").click()
    begin = app.seconds()
    while True:
        start = app.seconds()
        time.sleep(4)
        assert app.seconds() - begin < 6, "it goes on"
        if app.seconds() - start < 1:  # of four: work takes all of them, waiting a third
            break
    if way == "cancel":
        last = image.get_attribute("src")
        time.sleep(2)
        assert image.get_attribute("src") == last
