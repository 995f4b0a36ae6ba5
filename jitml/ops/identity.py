"""Ops that give their inputs, for what they mean to a transform, a policy or a check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitml.ir.op import Op, Traced, Undefined
from jitml.ir.types import ArrayType
from jitml.trace.core import bind
from jitml_runtime.record import frozen


@frozen
class Identity(Op):
    """The inputs, for what they mean to a transform or a policy."""

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return types

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        return arrays

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        return bind(self, *primals), tangents

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        return cotangents

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[int | None]
    ) -> tuple[Sequence[Traced], Sequence[int | None]]:
        return bind(self, *inputs), axes


@frozen
class KeyUse(Identity):
    """The words of keys that the function `user` of `random` uses; recorded only where it is looked
    for keys that are used twice.
    """

    name = "key_use"
    user: str
    is_again: bool = False  # computed a second time, for a derivative

    @property
    def has_effect(self) -> bool:
        return not self.is_again

    def silent(self) -> Op:
        return KeyUse(self.user, True)

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        return inputs
