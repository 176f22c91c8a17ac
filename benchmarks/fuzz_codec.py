"""Damaged containers of images, each of which must give a sentence or right images: a table of docs/compression.md.

    python benchmarks/fuzz_codec.py [--until 100000]     # goes on from what results/shipped/codec-fuzz.json counts

Each damage has the number of its case as its seed. All of it is tried with and without `recover`; what is no sentence
(`BadInput`), other images, more than 10 seconds of the processor, or 64 MiB of memory more than before, ends the run.
"""

import argparse
import json
import random
import resource
import struct
import time
import zlib
from collections import Counter
from pathlib import Path

import torch

import nextpixel as npx
from nextpixel import codec
from nextpixel.tiles import Picture

KEPT = Path(__file__).parents[1] / "results" / "shipped" / "codec-fuzz.json"
PAGE = Path(__file__).parents[1] / "docs" / "compression.md"
SPEC = npx.ImageSpec(1, 2, 2)
NAMES = ["../a.png", "/a.png", "a.exe", "b/../../a.png", "C:\\a.png", "a.png"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--until", type=int, default=100_000)
    until = parser.parse_args().until
    torch.set_num_threads(1)
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {"cases": 0, "outcomes": {}}
    outcomes = Counter(kept["outcomes"])
    model, x, made = container()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for case in range(kept["cases"], until):
        kind, data = damaged(made, random.Random(case))
        outcomes[f"{kind}: {judged(model, x, data)}"] += 1
        more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert more < 2**16, f"case {case}: {more} KiB more"
        if case % 500 == 499 or case == until - 1:
            KEPT.write_text(
                json.dumps({"cases": case + 1, "outcomes": dict(sorted(outcomes.items()))}, indent=1) + "\n"
            )
    head, _, rest = PAGE.read_text().partition("<!-- fuzzed -->\n")
    PAGE.write_text(
        f"{head}<!-- fuzzed -->\n{table()}<!-- end of fuzzed -->{rest.partition('<!-- end of fuzzed -->')[2]}"
    )
    print(table())


def container() -> tuple[npx.Autoregressive, torch.Tensor, bytes]:
    """A tiny exact model, six images in three blocks, and their container with names."""
    torch.manual_seed(0)
    codec.BLOCK = 2 * SPEC.subpixels
    model = npx.exact(npx.build("pixelcnn", SPEC, filters=2, layers=1), torch.randint(2, (8, *SPEC.shape)))
    x = torch.tensor([[0, 1, 1, 0], [1, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 0], [0, 1, 0, 1], [1, 1, 0, 0]]).view(
        6, 1, 2, 2
    )
    pictures = [Picture(10**18, 3, 4, 1, "a.png"), Picture(10**18, 2, 3, 1, "b/c.png")]
    return model, x, npx.compress(model, x, pictures=pictures)


def damaged(made: bytes, chance: random.Random) -> tuple[str, bytes]:
    """A kind of damage, and what it makes of a container."""
    kind = chance.choice(["bits", "cut", "spliced", "swapped", "sizes", "names", "content"])
    at = [place for place in range(len(made)) if made.startswith(codec.MARK, place)]
    blocks = [made[start:end] for start, end in zip(at, [*at[1:], len(made)], strict=True)]
    head = made[: at[0]]
    if kind == "bits":
        changed = bytearray(made)
        for _ in range(chance.choice((1, 1, 2, 8, 40))):
            changed[chance.randrange(len(made))] ^= 1 << chance.randrange(8)
        return kind, bytes(changed)
    if kind == "cut":
        first = chance.randrange(len(made))
        return kind, made[:first] + made[first + chance.randrange(1, 60) :]
    if kind == "spliced":
        first, other = chance.randrange(len(made)), chance.randrange(len(made))
        return kind, made[:first] + made[other : other + chance.randrange(1, 80)] + made[first:]
    number = chance.randrange(len(blocks))
    if kind == "swapped":
        chance.shuffle(blocks)
        return kind, head + b"".join(chance.choices(blocks, k=5) if chance.random() < 0.5 else blocks)
    if kind == "sizes":  # a right CRC over wrong numbers
        wide = chance.choice((0, 1, 3, 2**16, 2**31, 2**32 - 1, chance.getrandbits(32)))
        if chance.random() < 0.3:
            count = codec._sealed(codec._HEAD.pack(codec.MAGIC, codec.VERSION, made[5:21], wide))
            return kind, count + b"".join(blocks)
        fields = list(codec._PIECE.unpack_from(blocks[number]))
        field = chance.randrange(1, 5)
        fields[field] = wide & 255 if field == 1 else wide
        blocks[number] = codec._sealed(codec._PIECE.pack(*fields)) + blocks[number][21:]
    elif kind == "names":
        row = f"{chance.getrandbits(63)} {chance.randrange(70000)} {chance.choice((2, 12))} 1 {chance.choice(NAMES)}"
        content = zlib.compress(row.encode() if chance.random() < 0.9 else bytes(2**25))
        blocks[0] = codec._block(codec.LIST, 0, zlib.crc32(content), content)
    else:  # a whole block of any content, as stream or PNG
        content = chance.randbytes(4 * chance.randrange(2, 8))
        if chance.random() < 0.5:
            content = b"\x89PNG\r\n\x1a\n" + _chunk(
                b"IHDR", struct.pack(">IIBBBBB", 2, chance.choice((4, 2**20)), 8, 0, 0, 0, 0)
            )
            content += _chunk(b"IDAT", zlib.compress(chance.randbytes(12))) + _chunk(b"IEND", b"")
        blocks[number] = codec._block(chance.randrange(2), 2 * chance.randrange(3), chance.getrandbits(32), content)
    return kind, head + b"".join(blocks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def judged(model: npx.Autoregressive, x: torch.Tensor, data: bytes) -> str:
    """What came of it; wrong images, names or times are a failure."""
    began, said = time.process_time(), "refused"
    for recover in (False, True):
        try:
            found = codec.opened(model, data, recover=recover)
        except npx.BadInput:
            continue
        said = "right" if not recover and not found.damage else said if said == "right" else "recovered in part"
        for first, images in found.blocks.items():
            assert torch.equal(images, x[first : first + len(images)]), "other images"
        assert all(".." not in one.name and not one.name.startswith("/") for one in found.pictures)
        if not recover:
            assert len(torch.cat([*found.blocks.values()])) == len(x), "images are missing, and nothing says so"
    assert time.process_time() - began < 10
    return said


def table() -> str:
    kept = json.loads(KEPT.read_text())
    found = {tuple(name.split(": ")): count for name, count in kept["outcomes"].items()}
    ends = ("right", "recovered in part", "refused")
    lines = [f"| damage | {' | '.join(ends)} |", "|---" * 4 + "|"]
    for kind in sorted({kind for kind, _ in found}):
        counts = [f"{found.get((kind, end), 0):,}" for end in ends]
        lines.append(f"| {kind} | {' | '.join(counts)} |")
    said = f"{kept['cases']:,} damaged containers, none of which gave other images: `python benchmarks/fuzz_codec.py`."
    return "\n".join([*lines, "", said, ""])


if __name__ == "__main__":
    main()
