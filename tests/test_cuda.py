"""What a GPU does: the same as a processor, to float order. Skipped where there is none."""

from pathlib import Path

import pytest
import torch

import nextpixel as npx
from nextpixel.data import open_data
from nextpixel.training import Training, train
from nextpixel.training.engine import has_fast_bf16
from zoo import CASES, Case, images

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU of NVIDIA's")
SETTINGS = Training(epochs=1, batch=32, learning_rate=0.01, samples=4, precision="fp32", validate_every=0.5)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_likelihoods_and_samples_are_those_of_a_processor(case: Case) -> None:
    spec = case.spec(5, 7)
    model, x, given = case.build(spec), images(spec, 4), case.contexts(spec, 4)
    there = case.build(spec)
    there.load_state_dict(model.state_dict())
    there.to("cuda")
    with torch.no_grad():
        assert torch.allclose(model.log_prob(x, given), there.log_prob(x, given).cpu(), rtol=1e-9)
        assert torch.equal(model.sample(4, given, seed=0), there.sample(4, given, seed=0).cpu())


@pytest.mark.parametrize(("precision", "near"), [("fp32", 1e-3), ("bf16", 2e-2)])
def test_a_run_learns_what_one_on_a_processor_does(precision: str, near: float, tmp_path: Path) -> None:
    """Through memory that the GPU reads by itself, and with the optimizer in one kernel."""
    data, nats = open_data("digits"), []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        model = npx.build("gated_pixelcnn", data.spec, filters=12, blocks=2, head=16)
        settings = Training(**{**vars(SETTINGS), "precision": precision if device == "cuda" else "fp32"})
        folder = train(model, data, out=tmp_path / device, settings=settings, device=device)
        nats.append(float((folder / "metrics.csv").read_text().splitlines()[-1].split(",")[3]))
        train(model, data, out=folder, settings=Training(**{**vars(settings), "epochs": 2}), resume=True, device=device)
    assert nats[0] == pytest.approx(nats[1], rel=near)


def test_what_is_fast_is_chosen() -> None:
    assert has_fast_bf16(torch.device("cuda")) == torch.cuda.is_bf16_supported(including_emulation=False)
