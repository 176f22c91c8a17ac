"""The first thirty losses of a small run of each model, as they were when they were kept in tests/golden/losses.json.

python tests/training/test_golden.py        # writes them anew; a commit that does so says why they moved
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

import nextpixel as npx
from nextpixel.models import MODELS
from nextpixel.training.loop import _Loop

KEPT = Path(__file__).parents[1] / "golden" / "losses.json"
SMALL: dict[str, dict[str, Any]] = {
    "pixelcnn": {"filters": 8, "layers": 2},
    "residual_pixelcnn": {"filters": 8, "blocks": 2},
    "gated_pixelcnn": {"filters": 8, "blocks": 2, "dropout": 0.1},
    "row_lstm": {"filters": 8, "layers": 2},
    "diagonal_bilstm": {"filters": 8, "layers": 2},
    "pixelcnnpp": {"filters": 8, "blocks": 1, "scales": 2, "likelihood": "logistic_mixture", "mixtures": 2},
    "pixelsnail": {"filters": 8, "blocks": 1, "layers": 1, "likelihood": "logistic_mixture", "mixtures": 2},
    "pixelvae": {"filters": 8, "latent": 4, "blocks": 1},
}


def losses(name: str, out: Path) -> list[float]:
    """Of thirty steps in float32 from seed 0, in nats."""
    data = npx.open_data("digits", limit=480)
    settings = npx.Training(epochs=1, batch=16, samples=0, validation_images=16, precision="fp32", validate_every=9.0)
    found: list[float] = []
    torch.manual_seed(0)
    model = npx.build(name, data.spec, **{"likelihood": "categorical", **SMALL[name]})
    with pytest.MonkeyPatch.context() as patch:
        usual = _Loop.agree
        patch.setattr(_Loop, "agree", lambda run, nats=0.0: found.append(usual(run, nats)) or found[-1])
        npx.train(model, data, out=out, settings=settings, device="cpu")
    return found[:30]


@pytest.mark.parametrize("name", MODELS)
def test_losses_are_those_that_were_kept(name: str, tmp_path: Path) -> None:
    found = losses(name, tmp_path / "run")
    assert len(found) == 30
    assert found == pytest.approx(json.loads(KEPT.read_text())[name], rel=1e-4)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = {name: [round(loss, 4) for loss in losses(name, Path(folder) / name)] for name in MODELS}
    KEPT.write_text("{\n" + ",\n".join(f'"{name}": {found[name]}' for name in found) + "\n}\n")


if __name__ == "__main__":
    main()
