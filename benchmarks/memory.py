"""Peak memory of a training step of PixelSNAIL's attention, with the kernel that is chosen and with whole matrices.

    python benchmarks/memory.py                     # the paper's layer: 256 features, 1 head, 32x32, 8 images
    python benchmarks/memory.py --part attention --size 64    # without its residual blocks; of larger images

Each is measured in a process of its own, by the largest resident size less that before the step. There the allocator
gives back at once what is freed; else what it keeps for later is more than what is asked for.
"""

import argparse
import os
import resource
import subprocess
import sys

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from nextpixel.models.pixelsnail import AttentionLayer
from nextpixel.nn.attention import attend
from nextpixel.nn.blocks import features

KERNELS = {
    "chosen": [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH],
    "whole matrices": [SDPBackend.MATH],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("layer", "attention"), default="layer")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--kernel", choices=list(KERNELS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.kernel:
        print(f"{options.kernel:<16}{_peak(options) / 2**20:8.0f} MiB")
        return
    for kernel in KERNELS:
        command = [sys.executable, __file__, *sys.argv[1:], "--kernel", kernel]
        subprocess.run(command, check=True, env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"})


def _peak(options: argparse.Namespace) -> int:
    """Bytes that a forward and a backward pass take at most."""
    torch.manual_seed(0)
    grid = (options.size, options.size)
    layer = AttentionLayer(3, 256, blocks=5, keys=16, values=128, heads=1, context=0, dropout=0.5)
    layer.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    x, image, places = (torch.randn(options.batch, size, *grid) for size in (256, 3, 2))
    query, keys, values = (torch.randn(options.batch, size, *grid, requires_grad=True) for size in (16, 16, 128))
    before = _resident()
    with sdpa_kernel(KERNELS[options.kernel]):
        if options.part == "layer":
            layer(features(x), image, places, None).plain.sum().backward()
        else:
            attend(query, keys, values, heads=1).sum().backward()
    return _resident() - before


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
