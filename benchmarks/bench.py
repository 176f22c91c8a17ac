"""How near to what the machine can do: every model at its recipe's size, one table, figures as JSON, and a plot.

    make bench                                         # all of it; an hour or more on two cores (see --parts)
    make bench-quick                                   # tiny networks, in a minute: only whether it works
    python benchmarks/bench.py --models pixelsnail --parts training streaming
    python benchmarks/bench.py --render                # the table of all machines anew, from their files

Figures go to benchmarks/machines/NAME.json, those of other machines stay beside; the table of all is written to
benchmarks/machines/README.md. Weights are random. Nothing else should run on the machine meanwhile.
"""

import argparse
import json
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from measures import growth, machine, memory, peaks, streaming, training, use
from nextpixel.files import whole_file
from plainly import compare
from report import draw, held, table
from subjects import ALL, ROOT, SUBJECTS, Bench

MACHINES, QUICK = ROOT / "benchmarks" / "machines", ROOT / "runs" / "bench-quick"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=tuple(SUBJECTS), metavar="NAME", help=", ".join(SUBJECTS))
    parser.add_argument("--parts", nargs="+", choices=(*ALL, "plainly"), default=(*ALL, "plainly"))
    parser.add_argument("--threads", nargs="+", type=int, help="numbers to measure with (default: 1 and all)")
    parser.add_argument("--quick", action="store_true", help="tiny networks: whether it works, no figures to keep")
    parser.add_argument("--name", help="of the machine's file (default: by its processor and threads)")
    parser.add_argument("--out", type=Path, help=f"default: {MACHINES.relative_to(ROOT)}")
    parser.add_argument("--render", action="store_true", help="measure nothing")
    options = parser.parse_args()
    out = options.out or (QUICK if options.quick else MACHINES)
    if not options.render:
        _measure(options, out)
    page = render(out)
    print(page)


def render(out: Path) -> str:
    """Write the table of all machines that have files in a folder, and each one's plot."""
    kept = {path.stem: json.loads(path.read_text()) for path in sorted(out.glob("*.json"))}
    page = table(kept)
    with whole_file(out / "README.md") as path:
        path.write_text(page)
    for name, figures in kept.items():
        if figures.get("models"):
            with whole_file(out / f"{name}.png") as path:
                draw(name, figures).save(path, "PNG")
    return page


def _measure(options: argparse.Namespace, out: Path) -> None:
    whole = int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads()))
    counts: Sequence[int] = options.threads or sorted({1, whole})
    about = machine(max(counts))
    words = f"{about['processor']}-{max(counts)}-threads".lower()
    name = options.name or re.sub(r"[^a-z0-9]+", "-", words).strip("-")
    path = out / f"{name}.json"
    before = json.loads(path.read_text()) if path.is_file() and not options.quick else {}
    figures: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "machine": about, "quick": options.quick}
    figures["peaks"] = {}
    for threads in counts:
        use(threads)
        figures["peaks"][str(threads)] = peaks(quick=options.quick)
    figures["models"] = before.get("models", {})  # those that are not measured now stay
    quickly = ["pixelcnn", "gated_pixelcnn, 10 blocks of 128"]
    for key in options.models or (SUBJECTS if not options.quick else [*dict.fromkeys([*_one_each(), *quickly])]):
        start = time.monotonic()
        # A subject that is measured in part keeps the rest of what is known of it.
        figures["models"][key] = _subject(key, options, counts, figures["peaks"], figures["models"].get(key, {}))
        print(f"{key}: {time.monotonic() - start:.1f} s", flush=True)
        figures["held"] = held(figures)
        with whole_file(path) as beside:
            beside.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")


def _one_each() -> list[str]:
    """The first subject of every model: all that is named like one."""
    return [key for key in SUBJECTS if "," not in key]


def _subject(
    key: str, options: argparse.Namespace, counts: Sequence[int], found: dict[str, Any], before: dict[str, Any]
) -> dict[str, Any]:
    subject = SUBJECTS[key]
    parts = [part for part in subject.parts if part in options.parts]
    bench = Bench(subject, quick=options.quick)
    channels, height, width = bench.spec.shape
    figures: dict[str, Any] = before | {
        "recipe": subject.recipe or "the constructor's own sizes",
        "images": f"{height}x{width}x{channels}, {bench.spec.levels} levels",
        "weights": bench.weights,
        "date": time.strftime("%Y-%m-%d"),
        "limits": subject.limits,
        "threads": before.get("threads", {}),
    }
    for threads in counts:
        use(threads)
        peak = found[str(threads)]
        measured = figures["threads"].setdefault(str(threads), {})
        if "streaming" in parts:
            measured["streaming"] = streaming(bench, peak)
        if "training" in parts:
            measured["training"] = training(bench, peak)
        if "plainly" in parts:
            measured["plainly"] = compare(bench, bf16=any(each.endswith("bf16") for each in peak))
    use(counts[0])
    if "growth" in parts and (not options.quick or key == "pixelcnn"):
        figures["growth"] = growth(subject, quick=options.quick)
    if "memory" in parts and (not options.quick or key == "pixelcnn"):
        figures["memory"] = memory(key, quick=options.quick)
    return figures


if __name__ == "__main__":
    main()
