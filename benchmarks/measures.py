"""The measurements: of the machine, of a network, of how its cost grows. Seconds are medians after a warm-up."""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from nextpixel.training.engine import has_fast_bf16
from subjects import Bench, Subject

INSTRUCTIONS = ("avx2", "fma3", "avx512_f", "avx512_bf16", "amx_bf16", "sve", "sve2", "bf16")
ENOUGH = 0.3  # seconds of short work
PART = 8  # passes of a naive sampler that are timed
BATCHES = (1, 16, 64)
SIZES = (8, 16, 32, 64)


def seconds(work: Callable[[], object], repeats: int, limit: float = 30.0) -> float:
    """The median of several, after one that does not count: fewer where these take long, more where they are short.

    Where the first alone takes longer than the limit, it is what is measured: a slow start does not show in it.
    """
    start = time.perf_counter()
    work()
    first = time.perf_counter() - start
    if first > limit:
        return first
    times: list[float] = []
    while not times or (
        sum(times) + times[-1] < limit and (len(times) < repeats or (repeats > 2 and sum(times) < ENOUGH))
    ):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def use(threads: int) -> None:
    """Compute with so many threads, and let nothing try another number."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)


def machine(threads: int) -> dict[str, Any]:
    there = torch.cpu.get_capabilities()
    fast = has_fast_bf16(torch.device("cpu"))
    return {
        "processor": str(there.get("cpu_name") or platform.processor() or platform.machine()),
        "cores": os.cpu_count(),
        "threads": threads,
        "instructions": [name for name in INSTRUCTIONS if there.get(name)],
        "torch uses": torch.backends.cpu.get_cpu_capability(),
        "bf16": "fast" if fast else "no faster than float32",
        "torch": torch.__version__,
        "load before": round(os.getloadavg()[0], 2),
    }


def peaks(*, quick: bool) -> dict[str, float]:
    """What this machine can do: floating-point operations and bytes a second."""
    repeats = 2 if quick else 7
    side = 512 if quick else 2048
    a, b = torch.randn(2, side, side)
    found = {"matrix product": 2 * side**3 / seconds(lambda: a @ b, repeats)}
    for channels in (64, 128, 256):
        found[f"convolution {channels}"] = _convolution(channels, 4 if quick else 16, repeats, torch.float32)
        if has_fast_bf16(torch.device("cpu")):
            found[f"convolution {channels} bf16"] = _convolution(channels, 4 if quick else 16, repeats, torch.bfloat16)
    source = torch.randn((2 if quick else 64) * 2**20)
    target = torch.empty_like(source)
    found["copy"] = 2 * source.nbytes / seconds(lambda: target.copy_(source), repeats)
    weight, vector = torch.randn(2048, 2048), torch.randn(2048)  # 16 MB
    found["reading weights"] = weight.nbytes / seconds(lambda: torch.mv(weight, vector), 5 * repeats)
    return found


def _convolution(channels: int, batch: int, repeats: int, dtype: torch.dtype) -> float:
    """Forward and backward of 3x3 on 28x28 places, laid out as the networks' own."""
    x = torch.randn(batch, channels, 28, 28, dtype=dtype).to(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(channels, channels, 3, 3, dtype=dtype).to(memory_format=torch.channels_last).requires_grad_()
    slope = torch.ones_like(x)

    def work() -> None:
        F.conv2d(x, weight, padding=1).backward(slope)

    return 3 * 2 * x.numel() * channels * 9 / seconds(work, repeats)


def best_convolution(found: dict[str, float], *, bf16: bool = False) -> float:
    return max(value for key, value in found.items() if "convolution" in key and key.endswith(" bf16") == bf16)


def training(bench: Bench, peak: dict[str, float]) -> dict[str, Any]:
    """Images a second, and the share of the convolution peak that the counted operations come to."""
    counted = operations(bench)
    found: dict[str, Any] = {"batch": bench.batch, "operations an image": counted}
    kinds = [False, True] if any(key.endswith("bf16") for key in peak) else [False]
    for bf16 in kinds:
        rate = bench.batch / seconds(bench.step(bench.batch, bf16=bf16), 2 if bench.quick else 5)
        share = rate * counted / best_convolution(peak, bf16=bf16)
        found["bf16" if bf16 else "float32"] = {"images a second": rate, "share of peak": share}
    return found


def operations(bench: Bench) -> float:
    """Floating-point operations of a training step, for each image; attention as whole matrices, which is counted."""
    work = bench.step(2)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 2


def streaming(bench: Bench, peak: dict[str, float]) -> dict[str, Any]:
    """One forward, naive sampling and ours, of 1, 16 and 64 images."""
    repeats = 1 if bench.quick else 3
    passes = 1 if bench.quick else PART
    found: dict[str, Any] = {}
    for count in (1, 2) if bench.quick else BATCHES:
        forward = seconds(bench.forward(count), 2 if bench.quick else 5)
        drawn = seconds(bench.sampling(count), repeats)
        found[str(count)] = {"forward": forward, "sampling": drawn, "forwards": drawn / forward}
        if count <= 16:  # a part of the passes that it makes, each of which is alike
            work = bench.forward(count)
            part = seconds(lambda work=work: [work() for _ in range(passes)], 1)
            found[str(count)] |= {"naive": part / passes * bench.passes, "naive passes timed": passes}
    limit = bench.places * bench.drawn * 4 / peak["reading weights"]
    found["one image"] = {"reading its weights once a pixel": limit, "times that": found["1"]["sampling"] / limit}
    return found


def growth(subject: Subject, *, quick: bool) -> dict[str, dict[str, float]]:
    """The exponents of the cost of a training step, and of sampling one image, in what makes them larger."""
    bench = Bench(subject, quick=quick)
    filters = bench.arguments["filters"]
    depth, deep = bench.depth, bench.arguments[bench.depth]
    sizes = (4, 6, 8) if quick else SIZES
    few = 2 if quick else 4
    batches = (1, 2, 4) if quick else (1, 4, 16, 64)
    found: dict[str, dict[str, float]] = {}
    plain = {"batch": [_step(bench, count) for count in batches]}
    found["batch"] = {
        "training step": exponent(batches, plain["batch"]),
        "sampling": exponent(batches, [_drawing(bench, count) for count in batches]),
    }
    varied: dict[str, tuple[Sequence[int], Callable[[int], Bench]]] = {
        "rows and columns": (sizes, lambda value: Bench(subject, quick=quick, size=value)),
        "filters": (
            [max(6, filters // 2), filters, filters * 2],
            lambda value: Bench(subject, quick=quick, filters=value),
        ),
        "depth": ([deep, deep * 2, deep * 4], lambda value: Bench(subject, quick=quick, **{depth: value})),
    }
    for name, (values, make) in varied.items():
        made = [make(value) for value in values]
        found[name] = {
            "training step": exponent(values, [_step(each, few) for each in made]),
            "sampling": exponent(values, [_drawing(each, 1) for each in made]),
        }
    return found


def _step(bench: Bench, count: int) -> float:
    return seconds(bench.step(count), 1 if bench.quick else 3, limit=5)


def _drawing(bench: Bench, count: int) -> float:
    return seconds(bench.sampling(count), 1, limit=5)


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The k of cost = a · size^k that is nearest, by least squares of logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def memory(name: str, *, quick: bool) -> float:
    """Bytes that a training step at the recipe's batch takes at most, in a process of its own."""
    command = [sys.executable, Path(__file__).with_name("memory.py"), "--part", "step", "--case", name, "--json"]
    command += ["--quick"] * quick
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout)["bytes"]
