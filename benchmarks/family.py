"""Short runs of the 2016 family, each evaluated and kept in results/: what the models do in minutes.

    python benchmarks/family.py --data-root DIR                       # all of them
    python benchmarks/family.py s0-pixelcnn-shapes --minutes 1
    python benchmarks/family.py photos32-gated-dependent --photos photos32.npz

A run is a recipe of the same name with the settings of SHORT in place of its own: the recipes' are for hours.
"""

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
MINUTES = {  # on two cores; what learns more slowly gets more
    "s0-pixelcnn-mnist": 2.0,
    "s0-pixelcnn-shapes": 1.5,
    "s0-conditional-mnist": 2.0,
    "s0-conditional-shapes": 1.5,
    "s0-residual-independent-shapes": 6.0,
    "s0-residual-dependent-shapes": 6.0,
    "s0-residual-independent-mnist": 7.0,
    "s0-residual-dependent-mnist": 7.0,
    "row-lstm-mnist": 2.0,
    "diagonal-bilstm-mnist": 2.5,
    "photos32-gated-independent": 4.0,
    "photos32-gated-dependent": 4.0,
    "photos32-pixelcnnpp": 4.0,
    "mnist-binary-pixelsnail": 6.0,
}
SHORT = {
    "training.epochs": 1000,
    "training.batch": 16,
    "training.schedule": "cosine",
    "training.learning_rate": 0.002,
    "training.warmup": 50,
    "training.validate_every": 1000,
    "training.validation_images": 500,
    "training.samples": 40,
}
# Batch norm learns too slowly for minutes: 2 minutes of coloured shapes, dependent, 500 validation images: 144 nats
# at a rate of 0.008 (153 at 0.002), 113 with layer norm, 0.008 and averaged weights.
RESIDUAL = {"model.norm": "layer", "training.learning_rate": 0.008, "training.ema": 0.995}
IMAGES = 2000  # of the test split


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(MINUTES)}; by default all")
    parser.add_argument("--minutes", type=float, help="of each run")
    parser.add_argument("--data-root")
    parser.add_argument("--photos", help="the npz file of photographs; without it these runs are left out")
    parser.add_argument("--out", type=Path, default=ROOT / "runs", help="where the run folders go")
    options = parser.parse_args()
    for name in options.names or MINUTES:
        if name not in MINUTES:
            parser.error(f"there is no run {name!r}; there are {', '.join(MINUTES)}")
        if name.startswith("photos32") and options.photos is None:
            continue
        _run(name, options)


def _run(name: str, options: argparse.Namespace) -> None:
    folder = options.out / name
    settings = SHORT | {"training.max_minutes": options.minutes or MINUTES[name]}
    if name.startswith("s0-residual"):
        settings |= RESIDUAL
    if name.startswith("photos32"):
        settings["data.name"] = options.photos
    words = [f"--{key}={value}" for key, value in settings.items()]
    root = ["--data-root", options.data_root] if options.data_root else []
    train = ["-m", "nextpixel.cli", "train", ROOT / "recipes" / f"{name}.yaml", "--out", folder, *words, *root]
    record = [ROOT / "benchmarks" / "results.py", "record", folder, "--images", IMAGES, *root]
    record += ["--command", f"python benchmarks/family.py {name}"]
    for command in (train, record):
        subprocess.run([sys.executable, *map(str, command)], check=True)


if __name__ == "__main__":
    main()
