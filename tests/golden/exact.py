"""Makes exact.safetensors, exact.npz and exact.npxc beside it: once, for every later release and machine to read."""

from pathlib import Path

import numpy as np
import torch

import nextpixel as npx

HERE = Path(__file__).parent


def main() -> None:
    torch.manual_seed(0)
    spec = npx.ImageSpec(1, 6, 6, levels=4)
    settings = {
        "filters": 8,
        "blocks": 2,
        "head": 8,
        "first_kernel": 5,
        "norm": "layer",
        "coordinates": True,
        "orders": 8,
    }
    model = npx.build("gated_pixelcnn", spec, "categorical", npx.ClassLabel(3), **settings).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.3 * torch.randn(weight.shape)
    x = torch.randint(4, (64, *spec.shape))
    twin = npx.exact(model, x, torch.arange(64) % 3)
    npx.save(twin, HERE / "exact.safetensors")
    images = twin.sample(20, torch.arange(20) % 3, seed=0)
    np.savez_compressed(HERE / "exact.npz", images=images.numpy().astype(np.uint8))
    (HERE / "exact.npxc").write_bytes(npx.compress(twin, images, torch.arange(20) % 3))


if __name__ == "__main__":
    main()
