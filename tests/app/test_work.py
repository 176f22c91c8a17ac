"""What the tabs do, without a page."""

import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import nextpixel as npx
from nextpixel.app import work
from nextpixel.app.work import UNKNOWN, Desk, Seen
from nextpixel.cli import main
from nextpixel.nn.context import Context


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk({"mnist-class": Path("mnist-class"), "mnist-8": Path("mnist-8")}, torch.device("cpu"), str(tmp_path))


@pytest.mark.parametrize("orders", [1, 8])
def test_progress_tells_of_each_row(orders: int) -> None:
    model = npx.build("gated_pixelcnn", npx.ImageSpec(1, 5, 5), "bernoulli", filters=4, blocks=1, orders=orders)
    told: list[torch.Tensor] = []
    order = torch.full((3,), orders - 1)
    images = model.sample(3, order=order, progress=told.append)
    assert torch.equal(images, model.sample(3, order=order))
    assert len(told) == 5
    assert torch.equal(told[-1], images)
    turned = [model.reading.turn(some, model.reading.check(order, 3)) for some in (*told, images)]
    for row, some in enumerate(turned[:-1], start=1):
        assert torch.equal(some[:, :, :row], turned[-1][:, :, :row])
        assert not some[:, :, row:].any()


def test_what_progress_raises_ends_the_work() -> None:
    model = npx.build("pixelvae", npx.ImageSpec(1, 8, 8), "bernoulli", latent=2, filters=4)
    told: list[torch.Tensor] = []

    def progress(images: torch.Tensor) -> None:
        told.append(images)
        if len(told) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        model.sample(2, progress=progress)
    assert len(told) == 3


def test_a_closed_generator_ends_its_work(desk: Desk) -> None:
    before, rows = threading.active_count(), 0

    def endless(progress: Any) -> torch.Tensor:
        nonlocal rows
        while True:
            rows += 1
            progress(torch.zeros(1))

    growing = work.growing(endless)
    next(growing)
    growing.close()
    assert threading.active_count() == before
    assert rows >= 1
    shown = [picture.tobytes() for picture in desk.draw("mnist-class", "3", 1.0, 0, 1)]
    assert 10 < len(shown) <= 28  # rows of a digit that is not as high as its picture
    assert len(set(shown)) == len(shown), "a file would be written again while it is read"


def test_an_error_in_the_work_is_told() -> None:
    def wrong(progress: Any) -> torch.Tensor:
        progress(torch.zeros(1))
        raise npx.BadInput("No such thing.")

    with pytest.raises(npx.BadInput, match="No such thing"):
        list(work.growing(wrong))


def test_pictures_become_levels_and_pink_is_unknown() -> None:
    spec = npx.ImageSpec(1, 2, 4)
    picture = Image.new("RGBA", (8, 4))  # transparent
    picture.paste((255, 255, 255, 255), (0, 0, 4, 2))
    assert work.levels_of(picture, spec)[0, 0].tolist() == [[1, 1, 0, 0], [0, 0, 0, 0]]
    layer = Image.new("RGBA", (8, 4))
    layer.paste("white", (0, 0, 8, 2))
    layer.paste(UNKNOWN, (6, 2, 8, 4))
    assert work.known_in({"layers": [layer]}, spec)[0, 0].tolist() == [[True] * 4, [True, True, True, False]]
    with pytest.raises(npx.BadInput, match="A picture is no image 1x2x4 with 9 names"):
        work.levels_of(picture, npx.ImageSpec(1, 2, 4, levels=9, ordinal=False))


def test_the_three_colours_of_a_picture_are_kept() -> None:
    levels = work.levels_of(Image.new("RGB", (6, 6), (255, 128, 0)), npx.ImageSpec(3, 3, 3, levels=256))
    assert levels[0, :, 1, 1].tolist() == [255, 128, 0]


def test_a_dot_of_the_picture_is_a_pixel(desk: Desk) -> None:
    seen = Seen("mnist-class", desk.sample("mnist-class", "3", 1.0, 0), torch.tensor([3]), (448, 448))
    _, table, said = desk.pixel(seen, 17, 447)
    assert said.startswith("Row 27, column 1: level ")
    assert table["probability"].sum() == pytest.approx(1)
    with pytest.raises(npx.BadInput, match="no image to look into"):
        desk.pixel(None, 1, 1)


def test_a_file_that_pillow_can_write_is_compared(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.init()
    monkeypatch.setitem(Image.SAVE, "JXL", lambda image, stream, name: stream.write(b"7 bytes"))
    folder, rows, _, said = desk.pack("mnist-class", desk.sample("mnist-class", "any", 1.0, 0, 2))
    with folder:
        assert ["JXL", 7, round(56 / 1568, 4)] in rows
    assert said.startswith("2 images, decoded again: the same.")


@pytest.mark.parametrize(
    ("context", "spec", "sentence"),
    [
        (None, npx.ImageSpec(1, 200, 200), "at most 16,384 sub-pixels"),
        (npx.Map(2), npx.ImageSpec(1, 4, 4), "given Map"),
    ],
)
def test_what_the_app_cannot_show_is_refused(
    context: Context | None, spec: npx.ImageSpec, sentence: str, tmp_path: Path
) -> None:
    npx.save(npx.build("gated_pixelcnn", spec, "bernoulli", context, filters=2, blocks=1), tmp_path / "m.safetensors")
    desk = Desk({"own": tmp_path / "m.safetensors"}, torch.device("cpu"), str(tmp_path))
    with pytest.raises(npx.BadInput, match=sentence):
        desk.model("own")
    with pytest.raises(npx.BadInput, match="There is no model '/etc/passwd' here; there are own"):
        desk.model("/etc/passwd")


@pytest.mark.parametrize(("count", "sentence"), [(65, "At most 64 images"), (0, "at least 1"), (None, "not None")])
def test_counts_are_bounded(count: Any, sentence: str, desk: Desk) -> None:
    with pytest.raises(npx.BadInput, match=sentence):
        desk.sample("mnist-class", "any", 1.0, 0, count)
    with pytest.raises(npx.BadInput, match=sentence):
        next(desk.draw("mnist-class", "any", 1.0, 0, count))


def test_without_the_extra_a_sentence_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "nextpixel.app.page", raising=False)
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")  # is put back
    assert main(["app"]) == 2
    said = capsys.readouterr().err
    assert said == "nextpixel: nextpixel app needs gradio: pip install 'nextpixel[app]'.\n"
