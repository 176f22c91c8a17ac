"""Makes exact*.* beside it, what is not there: once for a format, for every later release and machine to read."""

from pathlib import Path

import numpy as np
import torch

import nextpixel as npx

HERE = Path(__file__).parent
GATED = {"filters": 8, "blocks": 2, "head": 8, "first_kernel": 5, "norm": "layer", "coordinates": True}
STREAMS = {"filters": 6, "blocks": 1, "dropout": 0.0}


def main() -> None:
    grey, colours = npx.ImageSpec(1, 6, 6, levels=4), npx.ImageSpec(3, 6, 6, levels=256)
    made("exact", "gated_pixelcnn", grey, "categorical", **GATED, orders=8)
    made("exact-logistic", "gated_pixelcnn", colours, "logistic_mixture", **GATED, mixtures=5)
    made("exact-pixelcnnpp", "pixelcnnpp", colours, "logistic_mixture", **STREAMS, mixtures=5)
    made("exact-pixelsnail", "pixelsnail", grey, "categorical", **STREAMS, layers=2, keys=4, values=6, heads=2)


def made(name: str, kind: str, spec: npx.ImageSpec, likelihood: str, **settings) -> None:
    if (HERE / f"{name}.safetensors").exists():
        return
    torch.manual_seed(0)
    model = npx.build(kind, spec, likelihood, npx.ClassLabel(3), **settings).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.3 * torch.randn(weight.shape)
    x = torch.randint(spec.levels, (64, *spec.shape))
    twin = npx.exact(model, x, torch.arange(64) % 3)
    npx.save(twin, HERE / f"{name}.safetensors")
    images = twin.sample(20, torch.arange(20) % 3, seed=0)
    np.savez_compressed(HERE / f"{name}.npz", images=images.numpy().astype(np.uint8))
    (HERE / f"{name}.npxc").write_bytes(npx.compress(twin, images, torch.arange(20) % 3))


if __name__ == "__main__":
    main()
