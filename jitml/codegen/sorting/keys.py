"""The order of sorts as the order of unsigned integers.

Elements are moved as the unsigned words that they are stored in (two for a complex number). Each
word of a key has an unsigned integer that is smaller where it comes first: −0 and 0 have the same,
and so have all NaNs, which come last.
"""

from __future__ import annotations

from typing import NamedTuple

from jitml.codegen.llvm import Emitter
from jitml.ir.dtypes import short_name
from jitml.ir.types import ArrayType
from jitml.scalar.value import BITS, SIGNED, Value, select

_INFINITY = {"f16": 0x7C00, "bf16": 0x7F80, "f32": 0x7F800000, "f64": 0x7FF0000000000000}


class Words(NamedTuple):
    """An array's elements as words: `per_element` of them, `bits` wide, of numbers of `kind`."""

    kind: str
    bits: int
    per_element: int

    @property
    def type(self) -> str:
        return f"u{self.bits}"

    @property
    def size_bytes(self) -> int:
        return self.bits // 8 * self.per_element

    def load(self, emit: Emitter, pointer: Value, index: Value, lanes: int = 1) -> list[Value]:
        """The words of the element at `index`, or of `lanes` elements of one word each."""
        at = index * self.per_element
        return [
            emit.load(emit.address(pointer, at + k, self.type), self.type, lanes)
            for k in range(self.per_element)
        ]

    def store(self, emit: Emitter, pointer: Value, index: Value, words: list[Value]) -> None:
        for k, word in enumerate(words):
            emit.store(
                emit.address(pointer, index * self.per_element + k, self.type), word, self.type
            )

    def key(self, word: Value) -> Value:
        """The unsigned integer that says where a word comes in the order."""
        sign = 1 << self.bits - 1
        if self.kind in SIGNED:
            return word ^ sign
        if self.kind not in _INFINITY:
            return word
        key = select((word & sign) != 0, ~word, word | sign)
        key = select(_magnitude(word, self.bits) == 0, word.like(sign), key)
        return select(self.is_nan(word), word.like((1 << self.bits) - 1), key)

    def word(self, key: Value) -> Value:
        """The word of a key, if it is not `shared`."""
        sign = 1 << self.bits - 1
        if self.kind in SIGNED:
            return key ^ sign
        if self.kind not in _INFINITY:
            return key
        return select((key & sign) != 0, key ^ sign, ~key)

    @property
    def may_share(self) -> bool:
        """Whether different words may have one key."""
        return self.kind in _INFINITY

    def shared(self, word: Value) -> Value:
        """Whether `word(key(w))` may differ from `w`: for −0 and NaN."""
        return (word == 1 << self.bits - 1) | self.is_nan(word)

    def is_zero(self, word: Value) -> Value:
        return _magnitude(word, self.bits) == 0

    def is_nan(self, word: Value) -> Value:
        return _magnitude(word, self.bits) > _INFINITY[self.kind]


def words_of(type_: ArrayType) -> Words:
    """The words that an array's elements are stored in."""
    short = short_name(type_.dtype)
    kind = {"c64": "f32", "c128": "f64", "bool": "u8"}.get(short, short)
    bits = BITS.get(kind, 16)
    return Words(kind, bits, 2 if short in ("c64", "c128") else 1)


def _magnitude(word: Value, bits: int) -> Value:
    return word & ((1 << bits - 1) - 1)
