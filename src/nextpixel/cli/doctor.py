"""`nextpixel doctor`: what is here, and how fast it is."""

import importlib.metadata
import os
import platform
import shutil
import time
from argparse import Namespace
from typing import Any

import torch

import nextpixel as npx
from nextpixel import shipped
from nextpixel.cli.common import device, print_json
from nextpixel.data import CATALOGUE
from nextpixel.data.download import ROOT_VARIABLE, cache_folder
from nextpixel.training.dial import seconds_of_a_step
from nextpixel.training.loop import has_fast_bf16

LIBRARIES = ("torch", "numpy", "lightning-fabric", "safetensors", "datasets", "matplotlib", "shtab")
SIZES: dict[str, Any] = {"filters": 32, "blocks": 4}
BATCH, SECONDS = 16, 1.5  # seconds of sampling


def main(options: Namespace) -> None:
    """Print versions, the device, where data is, and images a second of a small network, in about five seconds."""
    where = device(options.device)
    found = {name: row.find(options.data_root) for name, row in CATALOGUE.items()}
    said: dict[str, Any] = {
        "versions": {"nextpixel": npx.__version__, "python": platform.python_version(), **_versions()},
        "machine": {
            "system": platform.platform(),
            "device": torch.cuda.get_device_name(where) if where.type == "cuda" else where.type,
            "cores": os.cpu_count() if not hasattr(os, "sched_getaffinity") else len(os.sched_getaffinity(0)),
            "threads": torch.get_num_threads(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "bf16": "fast" if has_fast_bf16(where) else "emulated, so precision auto is fp32",
            "compiler": next((path for name in ("c++", "g++", "clang++") if (path := shutil.which(name))), "none"),
        },
        "places": {
            "data root": options.data_root or os.environ.get(ROOT_VARIABLE) or f"none (--data-root, {ROOT_VARIABLE})",
            "cache": f"{cache_folder()}{'' if cache_folder().exists() else ', not there yet'}",
            "models": ", ".join(shipped.names()),
            **found,
        },
        "images a second": _speeds(where),
    }
    if options.json:
        print_json(said)
        return
    for part, lines in said.items():
        print(part, *(f"  {name:<18} {value}" for name, value in lines.items()), sep="\n")
    print(f"Speeds are of a gated_pixelcnn of 32 filters and 4 blocks, digits of 28x28, {BATCH} at once.")


def _versions() -> dict[str, str]:
    there = {found.name.lower(): found.version for found in importlib.metadata.distributions()}
    return {name: there.get(name, "not installed") for name in LIBRARIES}


def _speeds(where: torch.device) -> dict[str, float]:
    model = npx.build("gated_pixelcnn", npx.ImageSpec(1, 28, 28, levels=2), "bernoulli", **SIZES).to(where)
    step = seconds_of_a_step(model, torch.zeros(BATCH, 1, 28, 28, dtype=torch.long), None)
    laps, began = 0, time.monotonic()
    while laps == 0 or time.monotonic() - began < SECONDS:
        model.sample(BATCH).sum().item()  # until the device is ready
        laps += 1
    return {"training step": round(BATCH / step, 1), "sampling": round(BATCH * laps / (time.monotonic() - began), 1)}
