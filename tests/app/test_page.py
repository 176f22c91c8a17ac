"""Every tab does its job on a shipped model, in a real browser; nobody reads, writes or disturbs what is another's."""

import io
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import nextpixel as npx
from app.conftest import PATIENCE, App
from nextpixel import pictures
from nextpixel.app.work import larger

pytestmark = pytest.mark.slow
Visit = Callable[[], Any]
Shot = Callable[[Any, str], None]


@pytest.fixture(scope="module")
def model() -> npx.Model:
    return npx.load("mnist-class")


def tab(page: Any, name: str) -> Any:
    page.get_by_role("tab", name=name).click()
    return page.get_by_role("tabpanel").filter(visible=True).first


def put(page: Any, name: str, value: int) -> None:
    """Type a number into a field or a slider."""
    field = page.get_by_label(name).filter(visible=True).and_(page.locator("input[type=number]")).first
    field.fill(str(value))
    field.press("Tab")


def choose(page: Any, name: str, value: str) -> None:
    page.get_by_role("combobox", name=name, exact=True).click()
    page.get_by_role("option", name=value, exact=True).click()


def dots(page: Any, image: Any) -> np.ndarray:
    """What an image on the page shows, (H, W, 3)."""
    data = page.request.get(image.get_attribute("src")).body()
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def wait_until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE / 1000
    while not what():
        assert time.monotonic() < end, "that takes too long"
        time.sleep(0.2)


def shows(page: Any, image: Any, wanted: np.ndarray) -> None:
    """Wait until an image on the page is that one."""
    image.wait_for()
    wait_until(lambda: np.array_equal(dots(page, image), wanted))


def picture(images: Tensor, levels: int = 2) -> np.ndarray:
    return np.asarray(larger(pictures.grid(images, levels)).convert("RGB"))


def stroke(page: Any, *points: tuple[float, float]) -> None:
    """Paint on the canvas, in shares of the picture's height from its middle."""
    box = page.locator("canvas").first.bounding_box()
    side = 0.8 * box["height"]
    places = [(box["x"] + box["width"] / 2 + x * side, box["y"] + box["height"] / 2 + y * side) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()
    page.wait_for_timeout(1500)  # the page puts what was drawn together a while after the last stroke


def paint(page: Any, colour: int) -> None:
    page.get_by_label("Color", exact=True).click()
    page.locator("button.color").nth(colour).click()
    page.get_by_label("Brush", exact=True).click()


def toast(page: Any, sentence: str) -> None:
    """The page says that, and nothing of how the program is made."""
    page.get_by_text(sentence).filter(visible=True).first.wait_for()
    assert "Traceback" not in page.inner_text("body")


def test_samples_grow_row_by_row_and_are_those_of_the_library(visit: Visit, screenshot: Shot, model: npx.Model) -> None:
    page = visit()
    panel = tab(page, "Sample")
    put(page, "Images", 20)
    put(page, "Seed", 3)
    panel.get_by_role("button", name="Draw").click()
    image = panel.locator("img").first
    image.wait_for()
    seen = dots(page, image)
    wanted = picture(model.sample(20, torch.arange(20) % 10, seed=3))
    assert not np.array_equal(seen, wanted)
    tile = seen[: seen.shape[0] // 4]  # the first row of images: what is there of them is theirs, and the rest black
    rows = int(np.flatnonzero((tile == 255).all(2).any(1)).max(initial=0))
    assert np.array_equal(tile[: rows // 2], wanted[: rows // 2])
    screenshot(page, "growing")
    shows(page, image, wanted)
    screenshot(page, "sample")


def test_completions_keep_what_is_known(visit: Visit, screenshot: Shot, model: npx.Model) -> None:
    page = visit()
    panel = tab(page, "Complete")
    page.locator("canvas").first.wait_for()
    page.wait_for_timeout(2000)
    panel.get_by_role("button", name="Complete").click()
    toast(page, "Nothing is brushed away: paint in pink over what shall be drawn.")
    put(page, "Seed", 7)
    choose(page, "Class", "7")
    panel.get_by_role("button", name="Take a sample").click()
    page.wait_for_timeout(6000)
    paint(page, 1)
    stroke(page, (-0.4, 0.25), (0.4, 0.25), (0.4, 0.4), (-0.4, 0.4))
    choose(page, "Class", "any")
    put(page, "Particles of each completion", 2)
    panel.get_by_role("button", name="Complete").click()
    image = panel.locator(".pixels img").first
    image.wait_for()
    panel.get_by_text(re.compile(r"\d+ % are known; 2 particles each; classes \d, \d, \d, \d")).wait_for()
    screenshot(page, "complete")
    sheet = dots(page, image)
    scale = sheet.shape[0] // 56  # of the picture, which is twice an image
    tiles = [sheet[scale // 2 :: 2 * scale][:, 58 * scale * number + scale // 2 :: 2 * scale] for number in range(5)]
    given, *made = (tile[:28, :28] for tile in tiles)
    known = ~(given == pictures.UNKNOWN).all(2)
    original = 255 * model.sample(1, 7, seed=7)[0, 0].numpy()
    assert 0.4 < known.mean() < 0.9
    assert np.array_equal(given[known][:, 0], original[known])
    for each in made:
        assert np.array_equal(each[known], given[known])
    assert len({each.tobytes() for each in made}) > 1


def test_a_drawing_and_an_upload_are_what_is_completed(visit: Visit, tmp_path: Path) -> None:
    page = visit()
    panel = tab(page, "Complete")
    page.locator("canvas").first.wait_for()
    page.wait_for_timeout(2000)
    put(page, "Particles of each completion", 1)
    stroke(page, (0, -0.35), (0, 0.1))
    paint(page, 1)
    stroke(page, (-0.4, 0.4), (0.4, 0.4))
    image = panel.locator(".pixels img").first
    panel.get_by_role("button", name="Complete").click()
    image.wait_for()
    given = dots(page, image)
    given = given[:, : given.shape[0]]
    high, middle = len(given), len(given) // 2
    assert (given[int(0.25 * high) : int(0.5 * high), middle] == 255).all()
    assert (given[int(0.95 * high), middle] == pictures.UNKNOWN).all()
    Image.new("RGB", (50, 40), "white").save(tmp_path / "white.png")
    panel.locator("input[type=file]").first.set_input_files(tmp_path / "white.png")
    page.wait_for_timeout(5000)
    paint(page, 1)
    stroke(page, (-0.2, 0), (0.2, 0))
    panel.get_by_role("button", name="Complete").click()
    wait_until(lambda: bool((dots(page, image)[middle // 2, middle] == 255).all()))


def test_a_click_says_what_a_pixel_sees(visit: Visit, screenshot: Shot, model: npx.Model) -> None:
    page = visit()
    panel = tab(page, "Look inside")
    choose(page, "Class", "5")
    panel.get_by_role("button", name="Look at a sample").click()
    panel.get_by_text("bits a sub-pixel").first.wait_for()
    x = model.sample(1, 5)
    bits = float(npx.bits_per_dim(model, x, torch.tensor([5])))
    assert f"{bits:.4f} bits a sub-pixel" in panel.inner_text()
    images = panel.locator(".pixels img")
    images.nth(1).wait_for()
    box = images.first.bounding_box()
    side = min(box["width"], box["height"])
    left, top = (box["width"] - side) / 2, (box["height"] - side) / 2
    for place in range(2):  # the image, and what its pixels cost
        row, column = (12, 15) if place == 0 else (20, 9)
        at = {"x": left + (column + 0.5) * side / 28, "y": top + (row + 0.5) * side / 28}
        images.nth(place).click(position=at)
        panel.get_by_text(f"Row {row}, column {column}:").wait_for()
        level = int(x[0, 0, row, column])
        chance = float(model.predict(x, 5).pmf()[0, 0, row, column, level].detach())
        assert f"level {level}, probability {chance:.3g}" in panel.inner_text()
    panel.locator("svg.marks, canvas.marks").first.wait_for()
    page.wait_for_timeout(3000)
    screenshot(page, "look")


def test_a_container_decodes_to_the_images(visit: Visit, screenshot: Shot, model: npx.Model, tmp_path: Path) -> None:
    page = visit()
    panel = tab(page, "Compress")
    put(page, "Samples", 12)
    panel.get_by_role("button", name="Compress samples").click()
    panel.get_by_text("12 images, decoded again: the same.").wait_for()
    panel.locator("a[download='images.npxc']").first.wait_for(state="attached")
    page.wait_for_timeout(1000)
    screenshot(page, "compress")
    table = dict(re.findall(r"(nextpixel|PNG|WebP)\s+(\d+)\s", panel.inner_text()))
    assert set(table) == {"nextpixel", "PNG", "WebP"}
    assert int(table["nextpixel"]) < min(int(table["PNG"]), int(table["WebP"]))
    for name in ("images.npxc", "exact.safetensors"):
        link = panel.locator(f"a[download='{name}']").first.get_attribute("href")
        (tmp_path / name).write_bytes(page.request.get(link).body())
    made = (tmp_path / "images.npxc").read_bytes()
    assert len(made) == int(table["nextpixel"])
    images = npx.decompress(npx.load(tmp_path / "exact.safetensors"), made)
    assert torch.equal(images, model.sample(12, torch.arange(12) % 10))


def test_what_goes_wrong_is_a_sentence_on_the_page(visit: Visit, screenshot: Shot, tmp_path: Path) -> None:
    page = visit()
    panel = tab(page, "Look inside")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no more")
    panel.locator("input[type=file]").first.set_input_files(tmp_path / "broken.png")
    toast(page, "broken.png is no picture that can be read.")
    screenshot(page, "error")
    Image.new("1", (5000, 5000)).save(tmp_path / "large.png")
    panel.locator("input[type=file]").first.set_input_files(tmp_path / "large.png")
    toast(page, "large.png has 5000x5000 dots, more than 16,777,216.")
    panel = tab(page, "Compress")
    files = [tmp_path / f"{number}.png" for number in range(65)]
    for file in files:
        Image.new("L", (28, 28)).save(file)
    panel.locator("input[type=file]").first.set_input_files(files)
    toast(page, "At most 64 images at once, not 65.")
    choose(page, "Model", "mnist-8")
    page.wait_for_timeout(2000)
    assert "Class" not in page.inner_text("body")  # this model knows none


def test_two_users_do_not_disturb_each_other(visit: Visit, model: npx.Model) -> None:
    one, other = visit(), visit()
    choose(other, "Model", "mnist")
    for page, seed in ((one, 11), (other, 12)):
        put(page, "Seed", seed)
        put(page, "Images", 9)
        tab(page, "Sample").get_by_role("button", name="Draw").click()
    shows(one, tab(one, "Sample").locator("img").first, picture(model.sample(9, torch.arange(9), seed=11)))
    shows(other, tab(other, "Sample").locator("img").first, picture(npx.load("mnist").sample(9, seed=12)))
    for page in (one, other):
        tab(page, "Look inside").get_by_role("button", name="Look at a sample").click()
        page.get_by_text("Click a pixel.").wait_for()
    for page, x in ((one, model.sample(1, 0, seed=11)), (other, npx.load("mnist").sample(1, seed=12))):
        image = tab(page, "Look inside").locator(".pixels img").first
        assert np.array_equal(dots(page, image), picture(x))


def test_no_path_leads_out_of_the_temporary_folder(app: App) -> None:
    config = json.loads(ask(f"{app.address}/config")[1])
    secret = app.folder.parent / "secret.png"
    Image.new("L", (28, 28), 255).save(secret)
    around = f"{app.folder}/../secret.png"
    for path in ("/etc/passwd", "/proc/self/environ", str(secret), around, "..%2fsecret.png", npx.__file__):
        for way in ("/gradio_api/file=", "/file=", "/gradio_api/file/", "/static/", "/assets/", "/theme.css/../"):
            status, said = ask(f"{app.address}{way}{path}")
            assert status in (403, 404, 405) or b"<html" in said.lower(), (way, path)
            assert b"root:" not in said, (way, path)
            assert said != secret.read_bytes(), (way, path)
    mark = "----mark"
    about = 'Content-Disposition: form-data; name="files"; filename="../../../evil.png"'
    body = f"--{mark}\r\n{about}\r\n\r\nx\r\n--{mark}--\r\n"
    header = {"Content-Type": f"multipart/form-data; boundary={mark}"}
    status, said = ask(f"{app.address}/gradio_api/upload", body.encode(), header)
    assert status == 200
    (made,) = json.loads(said)
    assert app.folder in Path(made).resolve().parents
    assert not list(app.folder.parent.glob("evil*"))
    (upload,) = [each for each in config["dependencies"] if len(each["inputs"]) == 3 and len(each["outputs"]) == 4]
    for path in ("/etc/passwd", str(secret), around):
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        asked = {"data": ["mnist-class", "0", file], "fn_index": upload["id"], "session_hash": "thief"}
        header = {"Content-Type": "application/json"}
        status, _ = ask(f"{app.address}/gradio_api/queue/join", json.dumps(asked).encode(), header)
        _, told = ask(f"{app.address}/gradio_api/queue/data?session_hash=thief") if status == 200 else (0, b"")
        assert b"bits a sub-pixel" not in told
        assert status != 200 or b'"success":false' in told.replace(b" ", b"")


def test_the_app_asks_no_other_machine(app: App) -> None:
    assert not app.outside.exists(), app.outside.read_text()


def ask(address: str, data: bytes | None = None, header: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Status and answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, data, header or {}), timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
