"""Peak memory of what could need much: PixelSNAIL's attention, and grids of thousands of names.

    python benchmarks/memory.py                     # the paper's layer: 256 features, 1 head, 32x32, 8 images
    python benchmarks/memory.py --part attention --size 64    # without its residual blocks; of larger images
    python benchmarks/memory.py --part names        # 8 grids of 32x32 places with 8,192 names, a small network
    python benchmarks/memory.py --part step         # a training step of every model at its recipe's size

Attention is measured with the kernel that is chosen and with whole matrices; names in training, evaluation, sampling.
Each is measured in a process of its own, by the largest resident size less that before. There the allocator gives back
at once what is freed; else what it keeps for later is more than what is asked for.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import nextpixel as npx
from nextpixel.models.pixelsnail import AttentionLayer
from nextpixel.nn.attention import attend
from nextpixel.nn.blocks import features
from subjects import SUBJECTS, Bench

KERNELS = {
    "chosen": [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH],
    "whole matrices": [SDPBackend.MATH],
}


NAMES = 8192
CASES = {
    "layer": tuple(KERNELS),
    "attention": tuple(KERNELS),
    "names": ("training step", "evaluation", "sampling"),
    "step": tuple(SUBJECTS),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=tuple(CASES), default="layer")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.json:
        print(json.dumps({"bytes": _peak(options)}))
        return
    if options.case:
        print(f"{options.case:<16}{_peak(options) / 2**20:8.0f} MiB")
        return
    for case in CASES[options.part]:
        command = [sys.executable, __file__, *sys.argv[1:], "--case", case]
        subprocess.run(command, check=True, env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"})


def _peak(options: argparse.Namespace) -> int:
    """Bytes that the work takes at most."""
    torch.manual_seed(0)
    work = {"step": _step, "names": _names}.get(options.part, _attention)(options)
    _resident()  # what was needed to make it
    before = _resident()
    work()
    return _resident() - before


def _attention(options: argparse.Namespace) -> Callable[[], object]:
    """A forward and a backward pass."""
    grid = (options.size, options.size)
    layer = AttentionLayer(3, 256, blocks=5, keys=16, values=128, heads=1, context=0, dropout=0.5)
    layer.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    x, image, places = (torch.randn(options.batch, size, *grid) for size in (256, 3, 2))
    query, keys, values = (torch.randn(options.batch, size, *grid, requires_grad=True) for size in (16, 16, 128))

    def work() -> None:
        with sdpa_kernel(KERNELS[options.case]):
            if options.part == "layer":
                layer(features(x), image, places, None).plain.sum().backward()
            else:
                attend(query, keys, values, heads=1).sum().backward()

    return work


def _step(options: argparse.Namespace) -> Callable[[], object]:
    """A training step of a model at its recipe's size and batch."""
    bench = Bench(SUBJECTS[options.case], quick=options.quick)
    return bench.step(bench.batch)


def _names(options: argparse.Namespace) -> Callable[[], object]:
    """What is done with grids of names: learnt from, evaluated or drawn."""
    spec = npx.ImageSpec(1, options.size, options.size, levels=NAMES, ordinal=False)
    model = npx.build("gated_pixelcnn", spec, filters=16, blocks=1, head=16)
    x = torch.randint(NAMES, (options.batch, *spec.shape))

    def evaluation() -> None:
        with torch.inference_mode():
            model.log_prob(x)

    return {
        "training step": lambda: model(x).sum().backward(),
        "evaluation": evaluation,
        "sampling": lambda: model.sample(options.batch),
    }[options.case]


def _resident() -> int:
    """The largest resident size since the last call, on Linux; elsewhere, of the process.

    There, getrusage would give a child what its parent had when it was started.
    """
    status, forget = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not status.is_file():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    (peak,) = (line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    with suppress(OSError):
        forget.write_text("5")  # the peak becomes what is there now
    return int(peak) * 1024


if __name__ == "__main__":
    main()
