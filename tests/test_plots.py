import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nextpixel as npx
from nextpixel import plots
from nextpixel.autoregressive import Autoregressive
from nextpixel.likelihoods import Bernoulli, Likelihood
from nextpixel.unroll import Backbone

SPEC = npx.ImageSpec(3, 5, 6, levels=4)
RED = (255, 0, 0)


def build(spec: npx.ImageSpec = SPEC, context: Any = None, **arguments) -> npx.Autoregressive:
    chosen: dict[str, Any] = {"filters": 12, "head": 24, "blocks": 4} | arguments
    return npx.build("gated_pixelcnn", spec, context=context, **chosen)


class Leaking(Backbone):
    """Its parameters are the levels themselves, and those of the pixel to the right."""

    def __init__(self, spec: npx.ImageSpec, likelihood: Likelihood) -> None:
        super().__init__(spec, likelihood, colours="dependent", carries=False)
        self.gain = torch.nn.Parameter(torch.ones(()))

    def forward(self, levels, context):
        seen = self.embed(levels)
        return self.gain * (seen + seen.roll(-1, 3))

    def init_state(self, batch, context):
        raise NotImplementedError

    def begin_row(self, row, above, state): ...

    def step(self, column, substep, state):
        raise NotImplementedError

    def observe(self, column, substep, levels, state): ...


@pytest.mark.parametrize("colours", ["dependent", "independent"])
@pytest.mark.parametrize("context", [None, npx.ClassLabel(3), npx.Vector(2), npx.Map(2)], ids=str)
def test_a_deep_model_sees_all_that_is_earlier_and_nothing_else(colours: str, context: object) -> None:
    model = build(context=context, colours=colours)
    field = plots.receptive_field(model, 3, 2)
    assert field.shape == (3, 3, 5, 6)
    assert field.dtype == torch.float64
    for channel, seen in enumerate(field > 0):
        assert torch.equal(seen, plots.earlier(model, 3, 2, channel))
    assert torch.equal(plots.receptive_field(model, 3, 2, 1), field[1:2])


def test_what_is_earlier_is_counted_in_the_order_of_drawing() -> None:
    counts = [int(plots.earlier(build(), 3, 2, channel).sum()) for channel in range(3)]
    assert counts == [60, 61, 62]
    together = build(colours="independent")
    assert [int(plots.earlier(together, 3, 2, channel).sum()) for channel in range(3)] == [60, 60, 60]
    assert int(plots.earlier(together, 0, 0, 2).sum()) == 0


def test_a_blind_spot_is_told() -> None:
    model = build(npx.ImageSpec(1, 9, 9, levels=4), blocks=0, first_kernel=3)
    field = plots.receptive_field(model, 4, 4)
    assert plots.describe_receptive_field(model, field, 4, 4) == ["Pixel 4,4 sees 4 of 40 earlier sub-pixels"]
    assert plots.describe_receptive_field(build(), torch.zeros(1, 3, 5, 6), 4, 0, 2) == [
        "Pixel 4,0, blue, sees 0 of 74 earlier sub-pixels"
    ]


def test_a_leak_is_told() -> None:
    spec = npx.ImageSpec(1, 4, 4)
    likelihood = Bernoulli(spec)
    model = Autoregressive(spec, Leaking(spec, likelihood), likelihood, None, recipe={})
    field = plots.receptive_field(model, 2, 1)
    assert plots.describe_receptive_field(model, field, 2, 1) == [
        "Pixel 2,1 sees 0 of 9 earlier sub-pixels, and 2 that it must not see"
    ]


def test_the_model_is_left_as_it_is() -> None:
    model = build(dropout=0.5).train().requires_grad_(False)
    with torch.no_grad():
        one, other = plots.receptive_field(model, 4, 5), plots.receptive_field(model, 4, 5)
    assert torch.equal(one, other)  # evaluation mode: nothing is dropped
    assert not one.requires_grad
    assert model.training
    assert {(weight.dtype, weight.requires_grad, weight.grad) for weight in model.parameters()} == {
        (torch.float32, False, None)
    }


def test_an_image_of_one_pixel_sees_nothing() -> None:
    model = build(npx.ImageSpec(1, 1, 1))
    field = plots.receptive_field(model, 0, 0)
    assert field.tolist() == [[[[0.0]]]]
    assert plots.draw_receptive_field(model, field, 0, 0).width > 100


def test_pixels_and_channels_outside_are_refused() -> None:
    for pixel in ((5, 0), (0, 6), (-1, 0)):
        with pytest.raises(npx.BadInput, match="is outside of the image: it has 5 rows of 6, from 0"):
            plots.receptive_field(build(), *pixel)
    with pytest.raises(npx.BadInput, match="images have channels from 0 to 2, not 3"):
        plots.receptive_field(build(), 0, 0, 3)
    with pytest.raises(npx.BadInput, match="images have channels from 0 to 0, not 1"):
        plots.receptive_field(build(npx.ImageSpec(1, 4, 4)), 0, 0, 1)


@pytest.mark.parametrize("channel", [None, 1])
def test_a_receptive_field_is_drawn_with_the_pixel_in_red(channel: int | None) -> None:
    model = build()
    picture = plots.draw_receptive_field(model, plots.receptive_field(model, 2, 3, channel), 2, 3, channel)
    reds = (np.asarray(picture) == RED).all(-1)
    assert reds.sum() > 100 * (3 if channel is not None else 9)
    height, width = reds.shape
    assert 400 < width < 1200
    assert 300 < height < 1200


def write_run(folder: Path, rows: str, header: str = "step,epoch,minutes,train_nats,validation_nats") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "metrics.csv").write_text(f"{header},validation_bits_per_dim\n{rows}")
    return folder


def test_curves_are_in_bits_per_dimension(tmp_path: Path) -> None:
    bits = 1 / (20 * math.log(2))
    rows = "".join(
        f"{step},{step / 5},{step / 50},{nats + 1},{nats},{nats * bits:.6g}\n" for step, nats in ((5, 30.0), (10, 20.0))
    )
    run = write_run(tmp_path / "run", rows)
    curves = plots.read_curves(run)
    assert curves.run == str(run)
    assert curves.over.tolist() == [1, 2]
    assert curves.train == pytest.approx([31 * bits, 21 * bits], rel=1e-5)
    assert curves.validation == pytest.approx([30 * bits, 20 * bits], rel=1e-5)
    assert plots.read_curves(run, "step").over.tolist() == [5, 10]
    assert plots.read_curves(run, "minutes").over.tolist() == [0.1, 0.2]
    assert plots.draw_curves([curves, curves]).size == (800, 500)


def test_runs_without_metrics_are_refused(tmp_path: Path) -> None:
    with pytest.raises(npx.BadInput, match=r"nowhere has no metrics: there is no "):
        plots.read_curves(tmp_path / "nowhere")
    with pytest.raises(npx.BadInput, match=r"has no metrics: there is no .*metrics\.csv"):
        plots.read_curves(tmp_path)
    with pytest.raises(npx.BadInput, match="metrics of a run, from its first validation on"):
        plots.read_curves(write_run(tmp_path / "run", ""))
    for rows in ("5,1,1,many,2,3\n", "5,1,1\n"):
        with pytest.raises(npx.BadInput, match=r"metrics\.csv does not hold the metrics of a run"):
            plots.read_curves(write_run(tmp_path / "run", rows))
    with pytest.raises(npx.BadInput, match=r"metrics\.csv does not hold the metrics of a run"):
        plots.read_curves(write_run(tmp_path / "run", "1,2,3,4\n", header="a,b,c"))
    (tmp_path / "run" / "metrics.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(npx.BadInput, match=r"metrics\.csv does not hold the metrics of a run"):
        plots.read_curves(tmp_path / "run")
