"""Arrays that the calls are made with, and families of calls."""

from __future__ import annotations

from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

R = np.random.default_rng(3)
V = np.array([3.0, 1.0, 2.5, 0.5, 5.0])
W = np.array([0.5, 2.0, -1.0])
M = R.normal(size=(3, 4))
T = R.normal(size=(2, 3, 2))
ONE = np.array(0.7)
E = np.zeros((0,))
E2 = np.zeros((2, 0))
SPECIAL = np.array([np.nan, np.inf, -np.inf, -1.5, 2.0, 1e-3, 20.0])
ZEROS = np.array([0.0, -0.0, 1.0, -1.0])
HALF = V.astype("float16")
BRAIN = V.astype(ml_dtypes.bfloat16)
C = np.array([1 + 1j, -0.5 + 2j, 0.3 - 0.4j, 2.0])
CM = (R.normal(size=(3, 4)) + 1j * R.normal(size=(3, 4))) / 2
I = np.array([2, 0, 1, -3, 7])  # noqa: E741
J = np.array([[1, 0, 3], [2, 5, -1]])
U = np.array([1, 200, 3, 7], "uint8")
S = np.array([-5, 100, 3, 7], "int8")
B = np.array([True, False, True, True, False])
B2 = np.array([[True, False], [False, False]])
KEY = np.array([0, 7], "uint32")
SQUARE = R.normal(size=(3, 3)) + 3 * np.eye(3)
SPD = SQUARE @ SQUARE.T
STACK = np.stack([SPD, SPD + np.eye(3)])
CSPD = SPD + 0.3j * (np.triu(SPD, 1) - np.tril(SPD, -1))

REALS = [V, M, ONE, E, E2, SPECIAL, HALF, BRAIN, W, T]
FLOATS = [*REALS, ZEROS]
COMPLEX = [C, CM]
INTEGERS = [I, J, U, S, np.array(5), np.zeros((0,), int)]
BITS = [*INTEGERS, B, np.array([1, 2], "uint32"), np.array([[3], [9]], "int16"), U[::-1].copy()]


class Call(NamedTuple):
    """One call of a function, named from below `jax`."""

    name: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]


def calls(name: str, *each: tuple[Any, ...], **options: Any) -> list[Call]:
    """Calls of a function with each of these arguments and the same options."""
    return [Call(name, arguments, options) for arguments in each]


def optional(name: str, arguments: tuple[Any, ...], *each: dict[str, Any]) -> list[Call]:
    """Calls of a function with the same arguments and each of these options."""
    return [Call(name, arguments, options) for options in each]


def of_one(module: str, names: str, arrays: list[Any], *rest: Any) -> list[Call]:
    """Calls of each function with each array, and what comes after it."""
    return [Call(f"{module}.{n}", (x, *rest), {}) for n in names.split() for x in arrays]


def of_each(module: str, names: str, *each: tuple[Any, ...], **options: Any) -> list[Call]:
    """Calls of each function with each of these arguments."""
    return [c for n in names.split() for c in calls(f"{module}.{n}", *each, **options)]


def pairs(arrays: list[Any]) -> list[tuple[Any, Any]]:
    """Each array beside itself in another order, of one shape and dtype."""
    return [(x, np.asarray(np.flip(x)).copy()) for x in arrays]
