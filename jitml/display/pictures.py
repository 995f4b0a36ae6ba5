"""Arrays as pictures: those that look like an image, and heat maps of matrices.

In: NumPy arrays. Out: `uint8` pixels of a bounded size.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitml.display.statistics import Statistics, plain

Numbers = np.ndarray[Any, Any]
Pixels = np.ndarray[Any, np.dtype[np.uint8]]

_MOST_BYTES = 96_000  # of pixels, so that a cell stays under 200 KB even if they compress badly
_LONGEST_SIDE = 256
_LEAST_IMAGE = 8  # rows and columns; what is smaller is a table rather than an image
_LEAST_WHITE = 0.4  # the brightest element of an image; what is darker says more as a heat map
_MISSING = (230, 60, 200)  # the colour of NaN and infinity in a heat map
# Colours from low to high: of one sign, and of both (white is zero).
_ONE_SIGN = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
_TWO_SIGNS = ((33, 102, 172), (146, 197, 222), (247, 247, 247), (244, 165, 130), (178, 24, 43))


def image_of(values: Numbers, statistics: Statistics) -> Pixels | None:
    """The pixels of what looks like an image: `[h, w]` or `[h, w, 3 or 4]`, of bytes or of numbers
    from 0 to 1.
    """
    has_colours = values.ndim == 3 and values.shape[2] in (3, 4)
    if not (values.ndim == 2 or has_colours) or min(values.shape[:2]) < _LEAST_IMAGE:
        return None
    if values.dtype == np.uint8:
        return np.ascontiguousarray(_small_image(values))
    is_unit = _is_float(values) and statistics.is_finite and bool(statistics.counts)
    if not is_unit or statistics.low is None or statistics.high is None:
        return None
    if statistics.low < 0 or not _LEAST_WHITE <= statistics.high <= 1:
        return None
    return np.round(plain(_small_image(values)) * 255).astype(np.uint8)


def heat_map_of(values: Numbers, statistics: Statistics) -> Pixels | None:
    """The pixels of a matrix, dark where it is low, or blue and red where it has both signs."""
    if values.ndim != 2 or min(values.shape) < 2 or not statistics.counts:
        return None
    low, high = scale_of(statistics)
    numbers = plain(_small_matrix(values)).astype(np.float64)
    known = np.isfinite(numbers)
    share = (np.where(known, numbers, low) / 2 - low / 2) / (high / 2 - low / 2)
    pixels = coloured(share, has_two_signs(statistics))
    pixels[~known] = _MISSING
    return pixels


def has_two_signs(statistics: Statistics) -> bool:
    """Whether zero is within the range."""
    return bool(statistics.low is not None and statistics.high) and (
        float(statistics.low or 0) < 0 < float(statistics.high or 0)
    )


def scale_of(statistics: Statistics) -> tuple[float, float]:
    """What the first and the last colour of a heat map mean."""
    low, high = float(statistics.low or 0), float(statistics.high or 0)
    if has_two_signs(statistics):
        high = max(-low, high)
        low = -high
    return low, high


def coloured(share: Numbers, has_both_signs: bool) -> Pixels:
    """The colours of numbers from 0 to 1."""
    points = np.array(_TWO_SIGNS if has_both_signs else _ONE_SIGN, np.float64)
    at = np.clip(share, 0, 1)
    stops = np.linspace(0, 1, len(points))
    channels = [np.interp(at, stops, points[:, channel]) for channel in range(3)]
    return np.round(np.stack(channels, axis=-1)).astype(np.uint8)


def _small_image(values: Numbers) -> Numbers:
    """Every k-th row and column."""
    channels = 1 if values.ndim == 2 else values.shape[2]
    step = max(1, math.ceil(max(values.shape[:2]) / _longest_side(channels)))
    return values[::step, ::step]


def _small_matrix(values: Numbers) -> Numbers:
    """Every k-th row and every l-th column."""
    longest = _longest_side(3)
    rows, columns = (max(1, math.ceil(size / longest)) for size in values.shape)
    return values[::rows, ::columns]


def _longest_side(channels: int) -> int:
    return min(_LONGEST_SIDE, math.isqrt(_MOST_BYTES // channels))


def _is_float(values: Numbers) -> bool:
    return values.dtype.kind in "fV"  # bfloat16 and its kin are void to NumPy
