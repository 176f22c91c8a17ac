"""Makes the hostile containers beside it, for the exact model tests/golden/exact.safetensors."""

import struct
import zlib
from pathlib import Path

import nextpixel as npx
from nextpixel import codec

HERE = Path(__file__).parent


def main() -> None:
    twin = npx.load(HERE.parent / "golden" / "exact.safetensors")
    assert isinstance(twin, npx.Autoregressive)
    made = (HERE.parent / "golden" / "exact.npxc").read_bytes()
    body = made[29:]

    def head(count: int) -> bytes:
        said = codec._HEAD.pack(codec.MAGIC, codec.VERSION, codec.digest(twin), count)
        return said + struct.pack("<I", zlib.crc32(said))

    def listed(rows: bytes, tail: bytes = b"") -> bytes:
        content = zlib.compress(rows, 9) + tail
        return codec._block(codec.LIST, 0, zlib.crc32(content), content)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    size = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(bytes(2**20))) + chunk(b"IEND", b"")
    )
    files = {
        "parent": head(20) + listed(b"\0".join(b"0 6 6 1 ../%d.png" % number for number in range(20))) + body,
        "absolute": head(20) + listed(b"0 120 6 1 /a.png") + body,
        "program": head(20) + listed(b"0 120 6 1 a.exe") + body,
        "twice": head(20) + listed(b"0 60 6 1 a.png\x000 60 6 1 a.png") + body,
        "larger-than-its-tiles": head(20) + listed(b"0 65536 65536 1 a.png") + body,
        "list-bomb": head(20) + listed(bytes(2**26)) + body,
        "list-without-end": head(20) + listed(b"0 120 6 1 a.png")[:-3] + body,
        "endless-images": head(2**32 - 1) + body,
        "endless-block": head(20) + codec._block(0, 0, 0, b"")[:9] + b"\xfc\xff\xff\xff" + body[13:],
        "png-bomb": head(20) + codec._block(codec.PNG, 0, 0, bomb),
        "png-of-others": head(20) + codec._block(codec.PNG, 0, 0, codec._png(twin, twin.sample(2, 1, seed=0))),
        "block-twice": made + body,
        "unknown-kind": head(20) + codec._block(9, 0, 0, b""),
        "marks": head(20) + codec.MARK * 5000,
        "out-of-place": head(20) + codec._block(0, 2**32 - 1, 0, bytes(8)),
    }
    for name, content in files.items():
        (HERE / f"{name}.npxc").write_bytes(content)


if __name__ == "__main__":
    main()
