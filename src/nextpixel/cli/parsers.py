"""What commands are given: a parser each, before anything heavy is imported; what is wrong with it is one sentence.

Only `train` has settings that are signatures of the library; its module makes the parser of those (see `cli.train`).
"""

import argparse
import importlib
import math
import re
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from nextpixel.errors import BadInput, closest

SPLITS = ("train", "validation", "test", "all")
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
LATENT_ROWS, LATENT_COLUMNS = 12, 6  # of the figures of a pixelvae
ACROSS, DRAWN, COMPLETED = 12, 6, 6  # plot figure: columns, rows from scratch, rows of completions
MOST_CLASSES = 20  # rows of a data set's picture
LATENT_SAMPLES = 16  # of evaluate
COSTLIEST, TYPICAL = 12, 1000  # images of score: shown of each set, and those that say what is typical

Option = tuple[list[str], dict[str, Any]]  # its names, and what `add_argument` is told of it
PARSERS: dict[str, "Parser"] = {}  # of each command, by its words


class Parser(argparse.ArgumentParser):
    """A command's options; what is wrong with them is one sentence."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message[:1].upper()}{message[1:]}; see {self.prog} --help.")


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


def _command(words: str, about: str, *examples: str, takes: Sequence[Option], usage: str | None = None) -> None:
    """Make the parser of a command; the first line of what it does stands alone in the list of all verbs."""
    parser = PARSERS[words] = Parser(
        prog=f"nextpixel {words}",
        usage=usage,
        description=about,
        epilog="\n  ".join(["examples:", *examples]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(kind=words.partition(" ")[2])
    for names, settings in takes:
        if (default := settings.get("default")) is not None:
            shown = " ".join(default) if isinstance(default, list) else default
            settings = {**settings, "help": f"{settings['help']} (default: {shown})"}
        parser.add_argument(*names, **settings)


def _option(names: str, about: str = "", **settings: Any) -> Option:
    """An option by its names, with the word for its value behind them."""
    *first, last = names.split()
    named = {"metavar": last} if first and not last.startswith("-") else {}
    return (first if named else names.split()), {"help": about, **named, **settings}


def _seed(about: str) -> Option:
    return _option("--seed", about, type=whole(0, 2**63 - 1), default=0)


def _picture(default: str) -> Option:
    return _option("--out FILE", "a picture, .png, .jpg or .webp", default=default)


def _results(default: str) -> Option:
    return _option("--out FILE", "pictures (.png, .jpg, .webp) and arrays (.npz)", nargs="+", default=[default])


DEVICE = _option("--device NAME", "auto, cpu, cuda or mps", default="auto")
DATA_ROOT = _option("--data-root DIR", "where data sets are, in torchvision's layout")
MODEL = (
    _option("model MODEL", "a .safetensors file, a run folder, a name (nextpixel models), or hf:USER/NAME", type=Path),
    _option("--import MODULE", "the module of your own network, where MODEL is one", type=imported),
    DEVICE,
)
DATA = (
    _option("--data NAME", "a data set's name or path; by default what MODEL learnt from"),
    DATA_ROOT,
    _option("--split", choices=SPLITS, default="test"),
)
DRAWING = (_option("--temperature", "below 1: likelier, duller", type=temperature, default=1.0), _seed("of the noise"))
SOURCE = _option("source IMAGES", "an image, a folder, an npz or npy file", nargs="?", type=Path)
LABEL = _option("--label CLASS", "of all images, its name or number; by default that of each, where it is known")
JSON = _option("--json", "print JSON", action="store_true")
TRAIN = (
    _option("recipe RECIPE", "a recipe's name (nextpixel recipes), or a file; with --resume a run folder"),
    _option("--minutes M", "choose network, likelihood, rates and epochs for so many minutes with DATA", type=float),
    _option("--out DIR", "the run folder, new or empty (default: runs/ and the name of RECIPE or DATA)"),
    _option("--resume", "go on with the run in the folder RECIPE", action="store_true"),
    _option("--dry-run", "say what the run would cost, by some steps, and train nothing", action="store_true"),
    DEVICE,
    DATA_ROOT,
    _option("--seed N", "of the first weights, the order of the images and their noise", type=int),
)

_command(
    "train",
    "Train a model, as a recipe says, or on a data set as well as some minutes allow.\n"
    "Ctrl-C saves the run, --resume goes on. DATA is a folder of pictures, an npz or npy file, or a name (nextpixel\n"
    "data); all is chosen, and said. Any setting of a recipe's model, data or training is an option too, such as\n"
    "--model.filters 64, --data.size 32 or --training.max_minutes 10: nextpixel train RECIPE --help explains them.",
    "nextpixel train my-pictures/ --minutes 20 --data.size 32    (no recipe: all is chosen, and said)",
    "nextpixel train digits",
    "nextpixel train mnist-binary --out runs/small --model.filters 32 --training.max_minutes 10",
    "nextpixel train runs/digits --resume --training.epochs 40",
    "nextpixel train digits --help    (with the settings of that recipe's model)",
    takes=TRAIN,
    usage="nextpixel train RECIPE [options]\n       nextpixel train DATA --minutes M [options]",
)

_command(
    "evaluate",
    "Measure a model's likelihood of images, or its bounds, in float32.",
    "nextpixel evaluate runs/digits",
    "nextpixel evaluate model.safetensors --data mnist-binary --split test --json",
    takes=[
        *MODEL,
        *DATA,
        _option("--images N", "only the first N images", type=whole(1)),
        _seed("of images that are drawn: the train split's, if binarised"),
        _option(
            "--samples K",
            f"of z, for a pixelvae's importance-weighted bound; 0 leaves it out (default: {LATENT_SAMPLES})",
            type=whole(0),
        ),
        _option("--per-image FILE", "write the nats and bits of each image, .csv or .npz"),
        JSON,
    ],
)

_command(
    "check",
    "Prove on a model what its likelihood needs, in float64: a table, and exit status 1 if a law fails.\n"
    "Nothing later is seen; steps agree with one pass; images do not see each other; probabilities sum to 1; samples\n"
    "follow them. Images are the first of --data, random where there are none; places are drawn by the seed.",
    "nextpixel check runs/digits",
    "nextpixel check model.safetensors --data mnist-binary --json",
    "nextpixel check runs/digits --out sees.png    (what the central pixel sees, and what not)",
    takes=[
        *MODEL,
        *DATA,
        _seed("of all that is drawn"),
        _option("--out FILE", "a picture of what the central pixel sees, .png, .jpg or .webp"),
        JSON,
    ],
)

_command(
    "sample",
    "Draw new images.",
    "nextpixel sample    (from a model that comes with the package)",
    "nextpixel sample runs/digits -n 100 --label 0-4,7 --out some-classes.png",
    "nextpixel sample model.safetensors -n 1000 --label 3 --temperature 0.9 --out threes.npz threes.png",
    "nextpixel sample runs/bottom --maps top-samples.npz --out bottom-samples.npz    (one for each map)",
    takes=[
        _option("model MODEL", f"{MODEL[0][1]['help']}", nargs="?", type=Path, default=Path("mnist-class")),
        *MODEL[1:],
        _option("-n --images N", "how many (default: 64, or one for each of the maps)", type=whole(1)),
        _option(
            "--label CLASSES",
            "names or numbers, such as 3 or 0-4,7 or cats,dogs: equal numbers of each, a row a class, N rounded up "
            "(default: all, or that of each map)",
        ),
        _option("--maps FILE", "an npz file of maps, such as samples of a model of coarser codes", type=Path),
        *DRAWING,
        _results("samples.png"),
    ],
)

_command(
    "complete",
    "Draw the unknown pixels of images, given those known.",
    "nextpixel complete runs/digits --data digits --known left-half -n 12 --completions 4 --out completed.png",
    "nextpixel complete model.safetensors photo.png --known mask.png --out photo-completed.png",
    "nextpixel complete model.safetensors images/ --known random:30% --particles 64",
    takes=[
        *MODEL,
        SOURCE,
        *DATA,
        _option(
            "--known WHICH",
            "top-half, bottom-half, left-half, right-half, centre, border, random:30%%, or a mask: an image of the "
            "same size that is opaque, or else bright, where pixels are known, or an npz with one mask or one an image",
            required=True,
        ),
        _option("-n --images N", "the first N images", type=whole(1), default=8),
        _option("--completions K", "of each image", type=whole(1), default=4),
        _option(
            "--particles N",
            "for each completion, weighed by the known pixels that come after unknown ones: many, such as 64, where "
            "these matter",
            type=whole(1),
            default=1,
        ),
        LABEL,
        *DRAWING,
        _results("completions.png"),
    ],
)

_command(
    "score",
    "Say how unusual images are: what each pixel costs, and scores by which images from elsewhere stand out.\n"
    "In bits a sub-pixel, larger for the unusual: bits_per_dim, -log2 p; complexity, that less the bits of the\n"
    "shortest lossless file (Serrà et al. 2020); typicality, how far bits_per_dim is from its mean over validation\n"
    "images of what MODEL learnt from (Nalisnick et al. 2019); ratio, what MODEL takes more than MODEL2 (Ren et\n"
    "al. 2019). --outside gives the AUROC of each: how often an image of DATA2 has the larger one; 0.5 is guessing.",
    "nextpixel score runs/digits",
    "nextpixel score runs/parts photo.png --out photo-scores.png",
    "nextpixel score runs/parts --outside broken-parts/ --out scores.png scores.csv scores.npz",
    "nextpixel score runs/fashion-mnist --outside mnist --against runs/background --json",
    takes=[
        *MODEL,
        SOURCE,
        *DATA,
        _option("--outside DATA2", "images from elsewhere: a path like IMAGES, or a data set's name, of which --split"),
        _option("--against MODEL2", "for the ratio: a model of the same kind of images, such as a more general one"),
        _option("-n --images N", "only the first N images, of each set", type=whole(1)),
        _option("--typical N", "validation images for typicality; 0 leaves it out", type=whole(0), default=TYPICAL),
        LABEL,
        _seed("of images that are drawn: the train split's, if binarised"),
        _option(
            "--out FILE",
            f"the {COSTLIEST} costliest images of each set beside maps of what their pixels cost (.png, .jpg, .webp), "
            "a row an image (.csv), or all scores and maps (.npz)",
            nargs="+",
            default=["scores.png", "scores.csv"],
        ),
        JSON,
    ],
)

_command(
    "exact",
    "Make the integer twin of a model, which gives the same bits on every machine: it is what compresses.\n"
    "For gated_pixelcnn, pixelcnn and residual_pixelcnn, bernoulli or categorical, given a class at most.",
    "nextpixel exact mnist-class -o exact.safetensors",
    takes=[
        *MODEL,
        _option("-o --out FILE", "the .safetensors file of the twin", type=Path, required=True),
        *DATA[:2],
        _option("--split", "whose images show the ranges of activations", choices=SPLITS, default="validation"),
        _option("-n --images N", "how many of them", type=whole(1), default=256),
        _seed("of images that are drawn: the train split's, if binarised"),
    ],
)

_command(
    "compress",
    "Compress images without loss, by an exact model (nextpixel exact), into a container that decompresses on any\n"
    "machine. It is decoded again before it is written.",
    "nextpixel compress exact.safetensors images.npz -o images.npxc",
    "nextpixel compress exact.safetensors --data mnist-binary -n 100 -o test.npxc",
    takes=[
        *MODEL,
        _option("source IMAGES", "an image, a folder, an npz or npy file", nargs="?", type=Path),
        *DATA,
        _option("-n --images N", "only the first N images", type=whole(1)),
        _seed("of images that are drawn: the train split's, if binarised"),
        _option("-o --out FILE", "the container", required=True),
        _option("--no-verify", "do not decode it again", action="store_true"),
    ],
)

_command(
    "decompress",
    "Give the images of a container back, by the exact model that made it.",
    "nextpixel decompress exact.safetensors images.npxc -o images.npz",
    takes=[
        *MODEL,
        _option("file FILE", "the container", type=Path),
        _option("-o --out OUT", "an .npz file, or a new folder of PNG files", required=True),
        _option("--recover", "leave damaged blocks out, and say which", action="store_true"),
    ],
)

_command(
    "info",
    "Say what is in a container of compressed images: how many, in which blocks, and by which model.",
    "nextpixel info images.npxc",
    takes=[_option("file FILE", "the container", type=Path)],
)

_command(
    "export",
    "Write a trained model with a card of its figures, training and data: a folder in the layout of the Hugging Face\n"
    "Hub, which every command takes as MODEL.",
    "nextpixel export runs/digits digits-model",
    "nextpixel export runs/own my-model --licence 'My photographs, CC BY 4.0' --command 'nextpixel train own.yaml'",
    takes=[
        *MODEL,
        _option("folder DIR", "a new folder"),
        *DATA,
        _option("--name NAME", "what the model is called (default: as DIR)"),
        _option("--images N", "evaluate the first N images only", type=whole(1)),
        _option("--figures FILE", "what evaluate --json printed, instead of evaluating again"),
        _option("--licence TEXT", "of the images that it learnt from (default: that of a named set)"),
        _option("--command TEXT", "that trained it"),
        _option("--machine TEXT", "that trained it (default: this one)"),
    ],
)

_command(
    "push",
    "Put a model with its card on the Hugging Face Hub, where others take it as hf:USER/NAME.\n"
    "Needs huggingface-hub, and a token to write there: hf auth login, or the variable HF_TOKEN.",
    "nextpixel push digits-model hf:me/digits    (a folder that nextpixel export wrote)",
    takes=[
        _option("folder DIR", "with model.safetensors, config.json and README.md", type=Path),
        _option("name hf:USER/NAME", "a repository; made, if it is not there"),
        _option("--private", "if it is made, others may not see it", action="store_true"),
    ],
)

_command(
    "import",
    "Make a model from weights that another program trained.",
    "nextpixel import pixelcnnpp pcnn_lr_0.00040_nr_resnet5_nr_filters160_889.pth -o model.safetensors",
    "nextpixel import pixelcnnpp mnist.pth --height 28 --width 28 -o model.safetensors",
    takes=[
        _option("name", "the model: pixelcnnpp is that of the common PyTorch port", choices=("pixelcnnpp",)),
        _option("file FILE", "its state dict, a .pth file of tensors alone", type=Path),
        _option("-o --out MODEL", "the .safetensors file to write", type=Path, required=True),
        _option("--height", "of the images", type=whole(1, 2**14), default=32),
        _option("--width", "of the images", type=whole(1, 2**14), default=32),
    ],
)

_command(
    "plot receptive-field",
    "Draw which sub-pixels a pixel's distribution depends on, by gradient: a panel for each pair of channels.",
    "nextpixel plot receptive-field runs/cifar10 --pixel 16,31 --channel 2 --out blue.png",
    takes=[
        *MODEL,
        _option("--pixel r,c", "row and column from 0 (default: the centre)", type=pixel),
        _option("--channel N", "the parameters of this one (default: of each)", type=whole(0)),
        _seed("of the images' random levels"),
        _picture("receptive-field.png"),
    ],
)

_command(
    "plot curves",
    "Draw the training and validation curves of runs, in bits per dimension.",
    "nextpixel plot curves runs/a runs/b --over step --out compared.png",
    takes=[
        _option("runs RUN", "a run folder", nargs="+", type=Path),
        _option("--over", "the horizontal axis", choices=("epoch", "step", "minutes"), default="epoch"),
        _picture("curves.png"),
    ],
)

_command(
    "plot figure",
    f"Draw {ACROSS}x{DRAWN + COMPLETED} images: {DRAWN} rows from scratch, then {COMPLETED} rows that complete the top "
    f"halves of {ACROSS} images, one a column. With classes or maps, a column has those of its image.",
    "nextpixel plot figure runs/mnist-binary --data mnist-binary --seed 3 --out figure.png",
    takes=[*MODEL, *DATA, *DRAWING, _picture("figure.png")],
)

_command(
    "plot latents",
    "Draw what latent vectors of a pixelvae mean. A row is images given one of the prior; with --of reconstructions\n"
    "an image, and images given vectors of its posterior; with --of interpolations the way from one to another.",
    "nextpixel plot latents runs/mnist-binary-pixelvae --out latents.png",
    "nextpixel plot latents runs/mnist-binary-pixelvae --of interpolations",
    takes=[
        *MODEL,
        *DATA,
        _option("--of", "which", choices=("prior", "reconstructions", "interpolations"), default="prior"),
        *DRAWING,
        _picture("latents.png"),
    ],
)

PLOTS = [words.removeprefix("plot ") for words in PARSERS if words.startswith("plot ")]

_command(
    "plot",
    "Draw what a model sees, how a run went, or a figure of samples.",
    "nextpixel plot receptive-field runs/digits --pixel 4,4",
    "nextpixel plot latents runs/mnist-binary-pixelvae",
    takes=[_option("kind KIND", f"{', '.join(PLOTS)}; nextpixel plot KIND --help says more")],
)

_command(
    "recipes",
    "List the recipes, with what each costs and what was measured; print one, or copy one to edit.\n"
    "`nextpixel train NAME` trains one as it is.",
    "nextpixel recipes",
    "nextpixel recipes show mnist-binary",
    "nextpixel recipes copy digits -o mine.yaml    (then nextpixel train mine.yaml)",
    takes=[
        _option("action", nargs="?", choices=("list", "show", "copy"), default="list"),
        _option("name NAME", "of the recipe to show or copy", nargs="?"),
        _option("-o --out FILE", "of the copy, a new .yaml file (default: NAME.yaml)"),
    ],
)

_command(
    "models",
    "List the models, the likelihoods, and the settings of each; or say what one is and its settings mean.",
    "nextpixel models",
    "nextpixel models gated_pixelcnn",
    takes=[_option("name NAME", "of a model, trained or not, or a likelihood", nargs="?")],
)

_command(
    "app",
    "Try a model in the browser: samples, completions, what it sees and compresses. All shipped models are there too.\n"
    "It asks nobody for a password: with another --host, all who reach this machine use it.",
    "nextpixel app    (then open the address that it prints)",
    "nextpixel app runs/digits --port 8000",
    takes=[
        _option("model MODEL", f"{MODEL[0][1]['help']}", nargs="?", type=Path, default=Path("mnist-class")),
        *MODEL[1:],
        _option("--host NAME", "where it listens; 0.0.0.0 is everywhere", default="127.0.0.1"),
        _option("--port N", "(default: the first free one from 7860)", type=whole(1, 2**16 - 1)),
    ],
)

READING = [
    _option("name NAME", "a name, a folder of images, an npz or npy file, or hf:NAME_OR_PATH"),
    DATA_ROOT,
    _option("--levels L", "of one's own images, where they do not say it", type=whole(2)),
    _option("--size HxW", "rows and columns that one's own pictures are brought to"),
    _option("--fit", "how: crop, pad, stretch or tiles", default="crop"),
    _option("--channels C", "1 or 3, to make them grey or coloured", type=whole(1)),
]

_command(
    "data",
    "List the data sets that have names, and whether they are on this machine; or show or pack one.\n"
    "Any folder of images, npz or npy file is one too, and hf:NAME_OR_PATH. `nextpixel data show` draws one,\n"
    "`nextpixel data pack` writes one as parquet files.",
    "nextpixel data",
    "nextpixel data show shapes",
    takes=[DATA_ROOT],
)

_command(
    "data show",
    "Draw the first images of a data set: a row for each class, with its name, where there are classes\n"
    f"(at the most {MOST_CLASSES}), equal numbers of each.",
    "nextpixel data show mnist-coloured --out mnist.png",
    "nextpixel data show shapes --split test -n 40",
    "nextpixel data show folder-of-images/ --out images.png",
    takes=[
        *READING,
        _option("--split", choices=SPLITS[:3], default="train"),
        _option("-n --images N", "about how many", type=whole(1), default=80),
        _picture("data.png"),
    ],
)

_command(
    "data pack",
    "Write a data set as parquet files of PNG pictures and labels, those of each split, as Hugging Face `datasets`\n"
    "has them: `hf:FOLDER` opens them as the same data set, and they can be put on the Hub as they are.",
    "nextpixel data pack folder-of-images/ -o packed",
    "nextpixel data show hf:packed",
    takes=[*READING, _option("-o --out DIR", "a new folder", type=Path, required=True)],
)


def parse(words: Sequence[str]) -> Namespace:
    """The options of a command line that begins with a verb of `PARSERS`."""
    verb, *rest = words
    if rest and (command := f"{verb} {rest[0]}") in PARSERS:
        return PARSERS[command].parse_args(rest[1:])
    if verb == "plot" and rest and not rest[0].startswith("-"):
        close = closest(rest[0], PLOTS)
        hint = f"did you mean {close}?" if close else f"there are {', '.join(PLOTS)}."
        raise BadInput(f"There is no plot {rest[0]!r}; {hint}")
    return PARSERS[verb].parse_args(rest)
