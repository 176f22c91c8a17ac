"""`nextpixel import`: models that other programs trained."""

from pathlib import Path

import nextpixel as npx
from nextpixel.cli.common import Parser, whole
from nextpixel.port import IMPORTERS

EXAMPLES = (
    "nextpixel import pixelcnnpp pcnn_lr_0.00040_nr_resnet5_nr_filters160_889.pth -o model.safetensors",
    "nextpixel import pixelcnnpp mnist.pth --height 28 --width 28 -o model.safetensors",
)


def main(arguments: list[str]) -> None:
    """Write a model of ours with the weights of another program's."""
    parser = Parser("import", "Make a model from weights that another program trained.", examples=EXAMPLES)
    parser.add_argument("name", choices=IMPORTERS, help="the model: pixelcnnpp is that of the common PyTorch port")
    parser.add_argument("file", type=Path, metavar="FILE", help="its state dict, a .pth file of tensors alone")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="MODEL", help="the .safetensors file to write")
    parser.add_argument("--height", type=whole(1, 2**14), default=32, help="of the images (default: 32)")
    parser.add_argument("--width", type=whole(1, 2**14), default=32, help="of the images (default: 32)")
    options = parser.parse_args(arguments)
    model = IMPORTERS[options.name](options.file, height=options.height, width=options.width)
    npx.save(model, options.out)
    count = sum(weight.numel() for weight in model.parameters())
    print(f"{options.out} holds a {options.name} of {count:,} weights, for images {model.spec}.")
