"""Write small DM3 and DM4 files, with an icon beside the image as Gatan's program does."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

PIXEL_TYPES = {"i2": (1, 2), "f4": (2, 6), "u1": (6, 8), "i4": (7, 3), "i1": (9, 9), "u2": (10, 4), "u4": (11, 5)}


def write_dm(path: Path, images: list[np.ndarray], *, version: int = 3, order: str = "<", pixel_size_nm: float = 0.1):
    """Write images ([y, x] or [n, y, x]) as a DM file of the given version and byte order."""
    wide = ">Q" if version == 4 else ">I"

    def size(value):
        return struct.pack(wide, value)

    def entry(kind, label, content):
        head = struct.pack(">BH", kind, len(label)) + label.encode("latin-1")
        return head + (size(len(content)) if version == 4 else b"") + content

    def folder(label, entries):
        return entry(20, label, b"\1\0" + size(len(entries)) + b"".join(entries))

    def tag(label, info, data):
        return entry(21, label, b"%%%%" + size(len(info)) + b"".join(map(size, info)) + data)

    def number(label, code, value):
        return tag(
            label,
            [code],
            np.array(value, {3: "i4", 5: "u4", 6: "f4"}[code])
            .astype(f"{order}{'f4' if code == 6 else 'u4'}")
            .tobytes(),
        )

    def text(label, value):
        return tag(label, [20, 4, len(value)], value.encode("utf-16-le" if order == "<" else "utf-16-be"))

    def image(pixels):
        kind, code = PIXEL_TYPES[pixels.dtype.str[1:]]
        swapped = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
        dimension = folder("", [number("Origin", 6, 0.0), number("Scale", 6, pixel_size_nm), text("Units", "nm")])
        return folder("", [folder("ImageData", [
            folder("Calibrations", [folder("Dimension", [dimension, dimension])]),
            tag("Data", [20, code, pixels.size], swapped),
            number("DataType", 5, kind),
            folder("Dimensions", [number("", 5, n) for n in pixels.shape[::-1]]),
        ])])  # fmt: skip

    point = tag("Corner", [15, 0, 2, 0, 3, 0, 3], np.array([1, 2], f"{order}i4").tobytes())
    pairs = tag("Pairs", [20, 15, 0, 2, 0, 3, 0, 3, 2], np.array([1, 2, 3, 4], f"{order}i4").tobytes())
    tags = [point, pairs, folder("ImageList", [image(pixels) for pixels in images])]
    body = b"\1\0" + size(len(tags)) + b"".join(tags)
    head = struct.pack(">I", version) + size(len(body)) + struct.pack(">I", int(order == "<"))
    path.write_bytes(head + body + bytes(8))
