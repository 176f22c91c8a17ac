"""`nextpixel evaluate`: the likelihood of a data set's images."""

import json
import sys
import time
from dataclasses import asdict

import nextpixel as npx
from nextpixel.cli.common import BATCH, Parser, check_spec, data_of, device, whole, with_bar
from nextpixel.evaluate import evaluate

EXAMPLES = (
    "nextpixel evaluate runs/digits",
    "nextpixel evaluate model.safetensors --data mnist-binary --split test --json",
)


def main(arguments: list[str]) -> None:
    """Print the mean of −log p(x), in nats per image and bits per dimension, with its standard error."""
    parser = Parser("evaluate", "Measure a model's likelihood of images, in float32.", examples=EXAMPLES)
    parser.add_model()
    parser.add_data()
    parser.add_argument("--images", type=whole(1), metavar="N", help="only the first N images")
    parser.add_argument(
        "--seed", type=whole(0), default=0, help="of images that are drawn: the train split's, if binarised"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)

    model = npx.load(options.model, device=device(options.device))
    data = data_of(options.model, options)
    check_spec(model, data.spec, what=data.name)
    split = getattr(data, options.split)
    began = time.monotonic()
    result = evaluate(
        model,
        split,
        images=options.images,
        batch=BATCH,
        seed=options.seed,
        watch=lambda work: with_bar(work, "evaluating"),
    )
    seconds = time.monotonic() - began
    if options.json:
        about = {"model": str(options.model), "data": data.name, "split": options.split}
        json.dump({**about, **asdict(result), "seconds": round(seconds, 2)}, sys.stdout, indent=2)
        print()
    else:
        print(f"{data.name}, {options.split}, {result.images} images in {seconds:.1f} s")
        print(f"  {result.nats:10.4f} ± {result.nats_error:.4f} nats per image")
        print(f"  {result.bits_per_dim:10.4f} ± {result.bits_per_dim_error:.4f} bits per dimension")
