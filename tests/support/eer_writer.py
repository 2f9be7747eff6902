"""Write EER movies from lists of electrons (no real EER file was at hand when this was made)."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

METADATA = (
    '<metadata><item name="exposureTime" unit="s">1.0</item>'
    '<item name="sensorPixelSize.height" unit="m">{size}</item>'
    '<item name="sensorPixelSize.width" unit="m">{size}</item></metadata>'
)


def encode_events(hits: np.ndarray, n_y: int, n_x: int, run_bits: int, x_bits: int, y_bits: int) -> bytes:
    """Pack electrons, given as (y, x) on the finest grid, at most one per detector pixel, into a raw frame."""
    bits: list[int] = []

    def put(value: int, n_bits: int) -> None:
        bits.extend((value >> place) & 1 for place in range(n_bits))

    def put_run(length: int) -> None:
        full = (1 << run_bits) - 1
        while length >= full:
            put(full, run_bits)
            length -= full
        put(length, run_bits)

    pixels = (hits[:, 0] >> y_bits) * n_x + (hits[:, 1] >> x_bits)
    before = 0
    for number in np.argsort(pixels):
        pixel, (y, x) = int(pixels[number]), hits[number]
        put_run(pixel - before)
        put((int(x) & ((1 << x_bits) - 1)) ^ (1 << x_bits >> 1), x_bits)
        put((int(y) & ((1 << y_bits) - 1)) ^ (1 << y_bits >> 1), y_bits)
        before = pixel + 1
    put_run(n_y * n_x - before)
    return np.packbits(np.array(bits, np.uint8), bitorder="little").tobytes()


def write_eer(
    path: Path, raw_frames: list[np.ndarray], n_y: int, n_x: int, *, bits: tuple[int, int, int] = (7, 2, 2),
    pixel_size_A: float | None = None, padding: int = 0,
) -> None:  # fmt: skip
    """Write raw frames, each an array of electrons (y, x) on the finest grid, as a BigTIFF EER file."""
    compression = {(8, 2, 2): 65000, (7, 2, 2): 65001}.get(bits, 65002)
    body = bytearray(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0))
    link = 8
    for hits in raw_frames:
        events = encode_events(hits, n_y, n_x, *bits) + bytes(padding)
        where = len(body)
        body += events
        entries = [(256, 4, n_x), (257, 4, n_y), (259, 3, compression), (273, 16, where), (278, 4, n_y),
                   (279, 16, len(events))]  # fmt: skip
        if compression == 65002:
            entries += [(65007, 3, bits[0]), (65008, 3, bits[1]), (65009, 3, bits[2])]
        packed = [struct.pack("<HHQQ", tag, kind, 1, value) for tag, kind, value in entries]
        if pixel_size_A:
            text = METADATA.format(size=pixel_size_A * 1e-10).encode() + b"\0"
            packed.append(struct.pack("<HHQQ", 65001, 7, len(text), len(body)))
            body += text
        body += bytes(-len(body) % 8)
        struct.pack_into("<Q", body, link, len(body))
        body += struct.pack("<Q", len(packed)) + b"".join(sorted(packed, key=lambda e: e[:2][::-1]))
        link = len(body)
        body += bytes(8)
    path.write_bytes(bytes(body))
