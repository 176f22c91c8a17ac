"""Codes of images, for a prior over them: each patch of an image is the number of the nearest vector of a codebook.

    python examples/photographs.py FOLDER --out photos32.npz    (of your own photographs)
    python examples/codes.py make --data photos32.npz --patch 4 --codes 512 --out codes.npz
    nextpixel train codes-photos32 --data.name codes.npz --out runs/codes
    nextpixel sample runs/codes -n 64 --out sampled-codes.npz
    python examples/codes.py decode sampled-codes.npz --codes codes.npz --out samples.png

A VQ-VAE learns an encoder and a decoder; here k-means stands for both, and takes seconds. The file that `make` writes
is what any other tokenizer has to write: grids of integers, `levels`, `ordinal`. With --top SIZE CODES larger patches
are coded first (top codes, the maps of the file), and the smaller ones say what is missing (bottom codes).
"""

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nextpixel as npx
from nextpixel import pictures
from nextpixel.data import CATALOGUE, open_data
from nextpixel.data.codes import cut, encode
from nextpixel.data.codes import decode as paint

Arrays = dict[str, Any]
SPLITS = ("train", "validation", "test")
LEARNT = 100_000  # patches that a codebook is learnt from


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    making = verbs.add_parser("make", help="learn a codebook on training images, and code all images")
    making.add_argument("--data", required=True, help="a data set's name or path")
    making.add_argument("--data-root", help="where data sets are")
    making.add_argument("--patch", type=int, default=4, help="rows and columns that a code stands for (default: 4)")
    making.add_argument("--codes", type=int, default=512, help="vectors of the codebook (default: 512)")
    making.add_argument("--top", type=int, nargs=2, metavar=("SIZE", "CODES"), help="the same of the top codes")
    making.add_argument("--out", type=Path, default=Path("codes.npz"))
    making.add_argument("--seed", type=int, default=0)
    decoding = verbs.add_parser("decode", help="turn sampled codes into images")
    decoding.add_argument(
        "samples", type=Path, help="what `nextpixel sample` wrote: images, and maps if there are top codes"
    )
    decoding.add_argument("--codes", type=Path, required=True, help="what `make` wrote")
    decoding.add_argument("--out", type=Path, default=Path("samples.png"))
    topping = verbs.add_parser("top", help="the top codes by themselves, for a prior over them")
    topping.add_argument("codes", type=Path)
    topping.add_argument("--out", type=Path, default=Path("top.npz"))
    entropies = verbs.add_parser("entropy", help="bits a code without a prior")
    entropies.add_argument("codes", type=Path, help="what `make` wrote, or the name of a set of codes: mnist-codes")
    options = parser.parse_args()
    try:
        {"make": make, "decode": decode, "top": top, "entropy": entropy}[options.verb](options)
    except (npx.BadInput, OSError) as error:
        parser.exit(2, f"codes.py: {error}\n")


def make(options: argparse.Namespace) -> None:
    data = open_data(options.data, options.data_root)
    noise = np.random.default_rng(options.seed)
    splits = {name: getattr(data, name) for name in SPLITS}
    images = {name: split.batch(range(len(split)), noise)[0].numpy() for name, split in splits.items()}
    labels = {f"{name}_labels": split.labels for name, split in splits.items() if split.labels is not None}
    about: Arrays = {"image_shape": np.array(data.spec.shape), "image_levels": np.array(data.spec.levels)}
    maps: Arrays = {}
    if options.top is not None:
        size, codes = options.top
        top_book = learn(images["train"], size, codes, options.seed)
        maps = {f"{name}_maps": encode(those, top_book)[:, 0] for name, those in images.items()}
        images = {name: those - paint(maps[f"{name}_maps"], top_book) for name, those in images.items()}
        maps |= {"map_levels": np.array(codes), "top_codebook": top_book}
    book = learn(images["train"], options.patch, options.codes, options.seed)
    grids = {f"{name}_images": encode(those, book)[:, 0] for name, those in images.items()}
    about |= {"levels": np.array(options.codes), "ordinal": np.array(False), "codebook": book}
    made: Arrays = {**grids, **maps, **labels, **about}
    np.savez_compressed(options.out, **made)
    missing = images["test"] - paint(grids["test_images"], book)
    noise_to_signal = float((missing.astype(np.float64) ** 2).mean()) / (data.spec.levels - 1) ** 2
    print(f"{options.out}: {', '.join(f'{len(splits[name]):,} {name}' for name in SPLITS)} images")
    quality = f"PSNR {-10 * math.log10(noise_to_signal):.2f} dB" if noise_to_signal else "without loss"
    print(f"test images decoded from their codes: {quality}")
    describe(made)


def decode(options: argparse.Namespace) -> None:
    made = load(options.codes, "codebook", "image_shape", "image_levels")
    samples = load(options.samples, "images")
    images, levels = paint(samples["images"], made["codebook"]), int(made["image_levels"])
    if list(images.shape[1:]) != made["image_shape"].tolist():
        grids, shape = samples["images"].shape[-2:], "x".join(map(str, made["image_shape"]))
        raise npx.BadInput(f"Grids of {grids[0]}x{grids[1]} codes do not make images of {shape}.")
    if "top_codebook" in made:
        if "maps" not in samples:
            raise npx.BadInput(f"{options.samples} has no maps, the top codes that its codes were sampled for.")
        images = images + paint(samples["maps"], made["top_codebook"])
    pictures.write(pictures.grid(images.round().clip(0, levels - 1).astype(np.int64), levels), options.out)
    print(f"{len(images)} images: {options.out}")


def top(options: argparse.Namespace) -> None:
    made = load(options.codes, "train_maps", "map_levels")
    grids = {f"{name}_images": made[f"{name}_maps"] for name in SPLITS}
    labels = {name: array for name, array in made.items() if name.endswith("_labels")}
    np.savez_compressed(options.out, levels=made["map_levels"], ordinal=False, **grids, **labels)
    print(f"{options.out}: the top codes of {options.codes}")


def entropy(options: argparse.Namespace) -> None:
    if str(options.codes) not in CATALOGUE:
        return describe(load(options.codes, "train_images", "test_images", "levels"))
    data = open_data(str(options.codes))
    return describe({"train_images": data.train.images, "test_images": data.test.images, "levels": data.spec.levels})


def describe(made: Arrays) -> None:
    """Print what a code costs without a prior: what a prior must be below."""
    for grids, levels, name in (("images", "levels", "codes"), ("maps", "map_levels", "top codes")):
        if levels not in made:
            continue
        count = int(made[levels])
        train, test = (np.bincount(made[f"{split}_{grids}"].ravel(), minlength=count) for split in ("train", "test"))
        own, learnt = bits(test, test), bits(test, train + 1)
        size = made[f"test_{grids}"][0].size
        print(f"test images, {size} {name} of {count}: order-0 entropy {own:.4f} bits/code")
        print(f"  under the histogram of the training {name}, each count plus one: {learnt:.4f} bits/code")


def load(path: Path, *names: str) -> Arrays:
    """The arrays of an npz file, those names among them."""
    with np.load(path) as file:
        arrays = dict(file)
    for name in names:
        if name not in arrays:
            raise npx.BadInput(f"{path} has no array {name}, but {', '.join(arrays)}.")
    return arrays


def bits(counts: NDArray[np.integer], model: NDArray[np.integer]) -> float:
    """The mean of −log₂ of the model's shares, over codes that come in such numbers."""
    there = counts > 0
    return float(-(counts[there] * np.log2(model[there] / model.sum())).sum() / counts.sum())


def learn(images: NDArray[Any], size: int, codes: int, seed: int) -> NDArray[np.float32]:
    """A codebook of patches of some size, shape (codes, C, size, size)."""
    try:
        from sklearn.cluster import MiniBatchKMeans
    except ModuleNotFoundError as error:
        raise npx.BadInput("A codebook is learnt by scikit-learn: pip install scikit-learn.") from error
    patches = cut(images, size, size).astype(np.float32)
    if not 2 <= codes <= len(patches):
        raise npx.BadInput(f"There must be from 2 to {len(patches):,} codes, one a patch, not {codes}.")
    some = patches[np.random.default_rng(seed).permutation(len(patches))[:LEARNT]]
    some = some[np.sort(np.unique(some, axis=0, return_index=True)[1])]  # else much of the book is names of black
    if len(some) > codes:
        some = MiniBatchKMeans(codes, random_state=seed, batch_size=4096, max_iter=20).fit(some).cluster_centers_
    book = np.resize(some, (codes, patches.shape[1]))  # where there are so few, copies, which no patch is coded by
    return book.astype(np.float32).reshape(codes, images.shape[1], size, size)


if __name__ == "__main__":
    main()
