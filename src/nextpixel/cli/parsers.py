"""What commands are given: a parser each, before anything heavy is imported; what is wrong with it is one sentence.

Only `train` has settings that are signatures of the library; its module makes that parser (see `cli.train`).
"""

import argparse
import importlib
import math
import re
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from nextpixel.errors import BadInput, closest

SPLITS = ("train", "validation", "test", "all")
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
LATENT_ROWS, LATENT_COLUMNS = 12, 6  # of the figures of a pixelvae
ACROSS, DRAWN, COMPLETED = 12, 6, 6  # plot figure: columns, rows from scratch, rows of completions
MOST_CLASSES = 20  # rows of a data set's picture
SLOW_IMAGES, LATENT_SAMPLES = 16, 16  # of evaluate


class Parser(argparse.ArgumentParser):
    """A command's options; what is wrong with them is one sentence.

    Args:
        command: its words after `nextpixel`.
        about: what it does.
        examples: lines to copy.
    """

    def __init__(self, command: str, about: str, *, examples: Iterable[str]) -> None:
        super().__init__(
            prog=f"nextpixel {command}",
            description=about,
            epilog="\n".join(["examples:", *(f"  {example}" for example in examples)]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.set_defaults(kind=command.partition(" ")[2])

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message[:1].upper()}{message[1:]}; see {self.prog} --help.")

    def add_model(self) -> None:
        self.add_argument("model", type=Path, metavar="MODEL", help="a .safetensors file, or a run folder")
        about = "the module of your own network, where MODEL is one"
        self.add_argument("--import", type=imported, metavar="MODULE", help=about)
        self.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: auto)")

    def add_data(self) -> None:
        self.add_argument("--data", metavar="NAME", help="a data set's name or path; by default what MODEL learnt from")
        self.add_data_root()
        self.add_argument("--split", choices=SPLITS, default="test", help="(default: test)")

    def add_data_root(self) -> None:
        self.add_argument("--data-root", metavar="DIR", help="where data sets are, in torchvision's layout")

    def add_drawing(self) -> None:
        self.add_argument("--temperature", type=temperature, default=1.0, help="below 1: likelier, duller (default: 1)")
        self.add_seed("of the noise (default: 0)")

    def add_seed(self, about: str) -> None:
        self.add_argument("--seed", type=whole(0, 2**63 - 1), default=0, help=about)

    def add_picture(self, default: str) -> None:
        """Option --out of one picture."""
        self.add_argument(
            "--out", default=default, metavar="FILE", help=f"a picture, .png, .jpg or .webp (default: {default})"
        )

    def add_results(self, default: str) -> None:
        """Option --out of pictures and arrays."""
        about = f"pictures (.png, .jpg, .webp) and arrays (.npz) (default: {default})"
        self.add_argument("--out", nargs="+", default=[default], metavar="FILE", help=about)


TRAIN = """usage: nextpixel train RECIPE [options]
       nextpixel train DATA --minutes M [options]

Train a model: as a recipe says, or on a data set as well as some minutes allow. Ctrl-C saves the run, --resume goes on.

  RECIPE     the name of a recipe (nextpixel recipes), or a file; with --resume a run folder
  DATA       a folder of pictures, an npz or npy file, or a name (nextpixel data); all is chosen, and said
"""
TRAIN_OPTIONS = """
options:
  --minutes M             choose network, likelihood, rates and epochs for so many minutes
  --out DIR               the run folder, new or empty (default: runs/ and the name of RECIPE or DATA)
  --resume                go on with the run in the folder RECIPE
  --dry-run               say what the run would cost, by some steps, and train nothing
  --device NAME           auto, cpu, cuda or mps (default: auto)
  --data-root DIR         where data sets are, in torchvision's layout
  --seed N                of the first weights, the order of the images and their noise
  --model.filters 64      any setting of a recipe's model,
  --data.size 32          of its data, and
  --training.max_minutes 10    of its training; nextpixel train RECIPE --help explains all of them
"""
TRAIN_EXAMPLES = """examples:
  nextpixel train my-pictures/ --minutes 20 --data.size 32    (no recipe: all is chosen, and said)
  nextpixel train digits
  nextpixel train mnist-binary --out runs/small --model.filters 32 --training.max_minutes 10
  nextpixel train runs/digits --resume --training.epochs 40
  nextpixel train digits --help    (with the settings of that recipe's model)
"""


def imported(name: str) -> ModuleType:
    """Import a module of the user's, from this folder or an installed package."""
    sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except (ImportError, ValueError) as error:
        raise BadInput(f"The module {name!r} cannot be imported ({error}).") from error


def whole(least: int, most: int = 10**9) -> Callable[[str], int]:
    """Make a reader of whole numbers from `least` to `most`, in plain digits."""

    def read(text: str) -> int:
        value = int(text) if re.fullmatch("[0-9]{1,19}", text) else least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least} and at most {most}")
        return value

    return read


def temperature(text: str) -> float:
    """Read a number above zero; far away from 1, float32 has no room for what is multiplied by it."""
    plain = re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?", text, re.ASCII | re.I)
    value = float(text) if plain else math.nan
    if not 1e-6 <= value <= 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0, from 1e-6 to 1e6")
    return value


def pixel(text: str) -> tuple[int, int]:
    """Read a row and a column."""
    found = re.fullmatch(r"([0-9]{1,18}),([0-9]{1,18})", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a pixel r,c such as 14,7")
    return int(found[1]), int(found[2])


PARSERS: dict[str, Callable[[], Parser]] = {}
"""The parser of each command, by its words."""


def _command(words: str, about: str, *examples: str) -> Callable[[Callable[[Parser], None]], Callable[[Parser], None]]:
    """Let a function say what a command is given."""

    def register(fill: Callable[[Parser], None]) -> Callable[[Parser], None]:
        PARSERS[words] = lambda: fill(parser := Parser(words, about, examples=examples)) or parser
        return fill

    return register


@_command(
    "evaluate",
    "Measure a model's likelihood of images, or its bounds, in float32.",
    "nextpixel evaluate runs/digits",
    "nextpixel evaluate model.safetensors --data mnist-binary --split test --json",
    "nextpixel evaluate runs/pixelvae --samples 64",
    "nextpixel evaluate runs/digits --slow    (exit status 1 for a model that sees what it predicts)",
)
def _evaluate(parser: Parser) -> None:
    parser.add_model()
    parser.add_data()
    parser.add_argument("--images", type=whole(1), metavar="N", help="only the first N images")
    about = (
        f"predict the first images (N, or {SLOW_IMAGES}) once more, sub-pixel by sub-pixel, and compare: a leak check"
    )
    parser.add_argument("--slow", action="store_true", help=about)
    parser.add_seed("of images that are drawn: the train split's, if binarised")
    about = f"of z, for a pixelvae's importance-weighted bound; 0 leaves it out (default: {LATENT_SAMPLES})"
    parser.add_argument("--samples", type=whole(0), metavar="K", help=about)
    parser.add_argument("--per-image", metavar="FILE", help="write the nats and bits of each image, .csv or .npz")
    parser.add_argument("--json", action="store_true", help="print JSON")


@_command(
    "sample",
    "Draw new images.",
    "nextpixel sample runs/digits -n 64",
    "nextpixel sample runs/digits -n 100 --label 0-4,7 --out some-classes.png",
    "nextpixel sample model.safetensors -n 1000 --label 3 --temperature 0.9 --out threes.npz threes.png",
    "nextpixel sample runs/bottom --maps top-samples.npz --out bottom-samples.npz    (one for each map)",
)
def _sample(parser: Parser) -> None:
    parser.add_model()
    add = parser.add_argument
    add("-n", "--images", type=whole(1), metavar="N", help="how many (default: 64, or one for each of the maps)")
    about = "names or numbers, such as 3 or 0-4,7 or cats,dogs: equal numbers of each, a row a class, N rounded up"
    add("--label", metavar="CLASSES", help=f"{about} (default: all, or that of each map)")
    add("--maps", type=Path, metavar="FILE", help="an npz file of maps, such as samples of a model of coarser codes")
    parser.add_drawing()
    parser.add_results("samples.png")


@_command(
    "complete",
    "Draw the unknown pixels of images, given those known.",
    "nextpixel complete runs/digits --known top-half",
    "nextpixel complete runs/digits --data digits --known left-half -n 12 --completions 4 --out completed.png",
    "nextpixel complete model.safetensors photo.png --known mask.png --out photo-completed.png",
    "nextpixel complete model.safetensors images/ --known random:30%",
)
def _complete(parser: Parser) -> None:
    parser.add_model()
    parser.add_argument("source", nargs="?", type=Path, metavar="IMAGES", help="an image, a folder, an npz or npy file")
    parser.add_data()
    parser.add_argument(
        "--known",
        required=True,
        metavar="WHICH",
        help="top-half, bottom-half, left-half, right-half, centre, border, random:30%%, or a mask: an image of "
        "the same size that is opaque, or else bright, where pixels are known, or an npz with one mask or one an image",
    )
    parser.add_argument("-n", "--images", type=whole(1), default=8, metavar="N", help="the first N images (default: 8)")
    parser.add_argument("--completions", type=whole(1), default=4, metavar="K", help="of each image (default: 4)")
    about = "the class of all images, its name or number; by default that of each, where it is known"
    parser.add_argument("--label", metavar="CLASS", help=about)
    parser.add_drawing()
    parser.add_results("completions.png")


@_command(
    "import",
    "Make a model from weights that another program trained.",
    "nextpixel import pixelcnnpp pcnn_lr_0.00040_nr_resnet5_nr_filters160_889.pth -o model.safetensors",
    "nextpixel import pixelcnnpp mnist.pth --height 28 --width 28 -o model.safetensors",
)
def _import(parser: Parser) -> None:
    about = "the model: pixelcnnpp is that of the common PyTorch port"
    parser.add_argument("name", choices=("pixelcnnpp",), help=about)
    parser.add_argument("file", type=Path, metavar="FILE", help="its state dict, a .pth file of tensors alone")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="MODEL", help="the .safetensors file to write")
    parser.add_argument("--height", type=whole(1, 2**14), default=32, help="of the images (default: 32)")
    parser.add_argument("--width", type=whole(1, 2**14), default=32, help="of the images (default: 32)")


@_command(
    "models",
    "List the models, the likelihoods, and the settings of each; or say what one is and its settings mean.",
    "nextpixel models",
    "nextpixel models gated_pixelcnn",
)
def _models(parser: Parser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="of a model or a likelihood")


@_command(
    "recipes",
    "List the recipes, with what each costs and what was measured; print one, or copy one to edit.\n"
    "`nextpixel train NAME` trains one as it is.",
    "nextpixel recipes",
    "nextpixel recipes show mnist-binary",
    "nextpixel recipes copy digits -o mine.yaml    (then nextpixel train mine.yaml)",
)
def _recipes(parser: Parser) -> None:
    parser.add_argument("action", nargs="?", choices=("list", "show", "copy"), default="list", help="(default: list)")
    parser.add_argument("name", nargs="?", metavar="NAME", help="of the recipe to show or copy")
    parser.add_argument("-o", "--out", metavar="FILE", help="of the copy, a new .yaml file (default: NAME.yaml)")


@_command(
    "data",
    "List the data sets that have names, and whether they are on this machine; any folder of images, npz or npy\n"
    "file is one too, and hf:NAME_OR_PATH. `nextpixel data show` draws one, `nextpixel data pack` writes one as\n"
    "parquet files, `nextpixel data convert` takes arrays out of a pickle.",
    "nextpixel data",
    "nextpixel data --data-root datasets/",
    "nextpixel data show shapes",
    "nextpixel data convert shapes.pkl -o shapes.npz",
)
def _data(parser: Parser) -> None:
    parser.add_data_root()


@_command(
    "data show",
    "Draw the first images of a data set: a row for each class, with its name, where there are classes\n"
    f"(at the most {MOST_CLASSES}), equal numbers of each.",
    "nextpixel data show mnist-coloured --out mnist.png",
    "nextpixel data show shapes --split test -n 40",
    "nextpixel data show folder-of-images/ --out images.png",
)
def _data_show(parser: Parser) -> None:
    _reading(parser)
    parser.add_argument("--split", choices=SPLITS[:3], default="train", help="(default: train)")
    parser.add_argument("-n", "--images", type=whole(1), default=80, metavar="N", help="about how many (default: 80)")
    parser.add_picture("data.png")


def _reading(parser: Parser) -> None:
    """Add what is said of a data set, for it to be read."""
    parser.add_argument("name", metavar="NAME", help="a name, a folder of images, an npz or npy file, or hf:NAME")
    parser.add_data_root()
    parser.add_argument("--levels", type=whole(2), metavar="L", help="of one's own images, where they do not say it")
    parser.add_argument("--size", metavar="HxW", help="rows and columns that one's own pictures are brought to")
    parser.add_argument("--fit", default="crop", help="how: crop, pad, stretch or tiles (default: crop)")
    parser.add_argument("--channels", type=whole(1), metavar="C", help="1 or 3, to make them grey or coloured")


@_command(
    "data pack",
    "Write a data set as parquet files of PNG pictures and labels, those of each split, as Hugging Face `datasets`\n"
    "has them: `hf:FOLDER` opens them as the same data set, and they can be put on the Hub as they are.",
    "nextpixel data pack folder-of-images/ -o packed",
    "nextpixel data show hf:packed",
)
def _data_pack(parser: Parser) -> None:
    _reading(parser)
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="a new folder")


@_command(
    "data convert",
    "Write the arrays of a pickle into an npz file, which every command takes as --data. The pickle is not run:\n"
    "those of its instructions that make numpy arrays of numbers are understood, and one that asks for anything\n"
    "else is refused. A dictionary with train, test and, if there are any, train_labels and test_labels becomes a\n"
    "data set with these splits; lists of numbers or words become arrays, and what else is left out is named.",
    "nextpixel data convert shapes.pkl -o shapes.npz",
    "nextpixel data show shapes.npz",
)
def _data_convert(parser: Parser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="a pickle of arrays")
    parser.add_argument("-o", "--out", required=True, metavar="FILE", help="the npz file")


@_command(
    "plot",
    "Draw what a model sees, how a run went, or a figure of samples.",
    "nextpixel plot receptive-field runs/digits --pixel 4,4",
    "nextpixel plot curves runs/digits runs/mnist-binary --over minutes",
    "nextpixel plot samples runs/digits",
    "nextpixel plot figure runs/digits --out figure.png",
    "nextpixel plot latents runs/mnist-binary-pixelvae",
)
def _plot(parser: Parser) -> None:
    kinds = [command.removeprefix("plot ") for command in PARSERS if command.startswith("plot ")]
    parser.add_argument("kind", metavar="KIND", help=f"{', '.join(kinds)}; nextpixel plot KIND --help says more")


@_command(
    "plot receptive-field",
    "Draw which sub-pixels a pixel's distribution depends on, by gradient: a panel for each pair of channels.",
    "nextpixel plot receptive-field runs/digits",
    "nextpixel plot receptive-field model.safetensors --pixel 16,31 --channel 2 --out blue.png",
)
def _plot_receptive_field(parser: Parser) -> None:
    parser.add_model()
    parser.add_argument("--pixel", type=pixel, metavar="r,c", help="row and column from 0 (default: the centre)")
    parser.add_argument("--channel", type=whole(0), metavar="N", help="the parameters of this one (default: of each)")
    parser.add_seed("of the images' random levels (default: 0)")
    parser.add_picture("receptive-field.png")


@_command(
    "plot curves",
    "Draw the training and validation curves of runs, in bits per dimension.",
    "nextpixel plot curves runs/digits",
    "nextpixel plot curves runs/a runs/b --over step --out compared.png",
)
def _plot_curves(parser: Parser) -> None:
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run folder")
    about = "the horizontal axis (default: epoch)"
    parser.add_argument("--over", choices=("epoch", "step", "minutes"), default="epoch", help=about)
    parser.add_picture("curves.png")


@_command(
    "plot samples",
    "Draw side by side what a run drew while it was trained.",
    "nextpixel plot samples runs/digits",
    "nextpixel plot samples runs/digits -n 4 --out over-time.png",
)
def _plot_samples(parser: Parser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    about = "at most, evenly over the run (default: 12)"
    parser.add_argument("-n", "--pictures", type=whole(1), default=12, metavar="N", help=about)
    parser.add_picture("samples-over-time.png")


@_command(
    "plot figure",
    f"Draw {ACROSS}x{DRAWN + COMPLETED} images: {DRAWN} rows from scratch, then {COMPLETED} rows that complete the "
    f"top halves of {ACROSS} images, one a column. With classes or maps, a column has those of its image.",
    "nextpixel plot figure runs/digits",
    "nextpixel plot figure model.safetensors --data mnist-binary --seed 3 --out figure.png",
)
def _plot_figure(parser: Parser) -> None:
    parser.add_model()
    parser.add_data()
    parser.add_drawing()
    parser.add_picture("figure.png")


@_command(
    "plot latents",
    f"Draw {LATENT_ROWS} latent vectors of a pixelvae from the prior, and a row of {LATENT_COLUMNS} images given each.",
    "nextpixel plot latents runs/mnist-binary-pixelvae --out latents.png",
)
def _plot_latents(parser: Parser) -> None:
    parser.add_model()
    parser.add_drawing()
    parser.add_picture("latents.png")


@_command(
    "plot reconstructions",
    "Each row: an image, then images drawn given latent vectors of its posterior. For a pixelvae.",
    "nextpixel plot reconstructions runs/mnist-binary-pixelvae --out reconstructions.png",
)
def _plot_reconstructions(parser: Parser) -> None:
    parser.add_model()
    parser.add_drawing()
    parser.add_picture("reconstructions.png")
    parser.add_data()
    parser.add_argument("-n", "--images", type=whole(1), default=12, metavar="N", help="the first N (default: 12)")


@_command(
    "plot interpolations",
    "Each row: an image, images on the way to another, and that one. For a pixelvae.",
    "nextpixel plot interpolations runs/mnist-binary-pixelvae --out interpolations.png",
)
def _plot_interpolations(parser: Parser) -> None:
    parser.add_model()
    parser.add_drawing()
    parser.add_picture("interpolations.png")
    parser.add_data()
    parser.add_argument("-n", "--pairs", type=whole(1), default=8, metavar="N", help="of images (default: 8)")
    parser.add_argument("--steps", type=whole(2), default=8, metavar="K", help="images drawn on a way (default: 8)")


def parse(words: Sequence[str]) -> Namespace:
    """The options of a command line that begins with a verb of `PARSERS`.

    Raises:
        BadInput: they are not what the command takes.
    """
    verb, *rest = words
    if rest and (command := f"{verb} {rest[0]}") in PARSERS:
        return PARSERS[command]().parse_args(rest[1:])
    if verb == "plot" and rest and not rest[0].startswith("-"):
        kinds = [command.removeprefix("plot ") for command in PARSERS if command.startswith("plot ")]
        close = closest(rest[0], kinds)
        hint = f"did you mean {close}?" if close else f"there are {', '.join(kinds)}."
        raise BadInput(f"There is no plot {rest[0]!r}; {hint}")
    return PARSERS[verb]().parse_args(rest)
