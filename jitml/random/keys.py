"""Keys: what random numbers are a function of.

A key is two 32-bit words. New-style keys (`key`) are `Key` objects, a pytree over the words;
old-style ones (`PRNGKey`) are uint32 arrays whose last axis has size 2. Bits are those of
`jax.random` with threefry2x32.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jitml.ir import dtypes
from jitml.ir.errors import ArgumentError
from jitml.ir.types import ArrayType
from jitml.numpy.joining import stack, take_slice
from jitml.numpy.operands import as_shape, cast, fail, is_number, operand, settle
from jitml.ops import elementwise as ew
from jitml.ops import movement as mv
from jitml.ops.random_bits import threefry2x32
from jitml.trace.conventions import CONVENTIONS
from jitml.trace.core import bind1, type_of
from jitml.trace.flags import is_on
from jitml.trace.numbers import DEFAULT_DTYPES, literal
from jitml.tree_util import register_pytree_node_class
from jitml.typing import Array, ArrayLike, ConcreteArray, Shape

Words = tuple[Any, Any]  # the two words of a key, as operands
UINT32 = np.dtype(np.uint32)
_WORD = ArrayType(UINT32, ())
_MAKE_KEY = "jitml.random.key(seed) makes a key; it is the first argument"


class KeyType:
    """The dtype of keys."""

    name = "key<fry>"
    type = dtypes.prng_key
    itemsize = 8

    def __repr__(self) -> str:
        return self.name


KEY_TYPE = KeyType()


@register_pytree_node_class
class Key:
    """An array of keys.

    >>> key(0).shape
    ()
    """

    __slots__ = ("_words",)
    dtype = KEY_TYPE

    def __init__(self, words: Any) -> None:
        self._words = words

    def tree_flatten(self) -> tuple[tuple[Any], None]:
        return (self._words,), None

    @classmethod
    def tree_unflatten(cls, _: None, children: Any) -> Key:
        return cls(children[0])

    @property
    def shape(self) -> tuple[int, ...]:
        return type_of(self._words).shape[:-1]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a single key")
        return self.shape[0]

    def __getitem__(self, index: Any) -> Key:
        items = index if isinstance(index, tuple) else (index,)
        if not any(item is Ellipsis for item in items):
            items = (*items, Ellipsis)
        return self._view(lambda words: words[(*items, slice(None))])

    def _view(self, look: Callable[[Any], Any]) -> Key:
        """Keys among these; each is told apart where it is looked for keys that are used twice."""
        words = look(self._words)
        if is_on("jax_debug_key_reuse") and type(words) is ConcreteArray is type(self._words):
            from jitml.pipeline.key_checks import follow_view

            follow_view(self._words, words, look)
        return Key(words)

    def __iter__(self) -> Iterator[Key]:
        if not self.shape:
            raise TypeError("iteration over a single key")
        return (self[k] for k in range(self.shape[0]))

    def reshape(self, *shape: Any) -> Key:
        sizes = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        return self._view(lambda words: words.reshape((*sizes, 2)))

    def __repr__(self) -> str:
        return f"Key({self.shape}, dtype={self.dtype}) overlaying:\n{self._words}"


# ---- seeds ----------------------------------------------------------------------------------


def key(seed: ArrayLike, *, impl: Any = None, dtype: Any = None) -> Key:
    """A key of an integer.

    >>> print(key_data(key(42)))
    [ 0 42]
    """
    _check_impl(impl, dtype)
    return Key(_seed_words(seed))


def PRNGKey(seed: ArrayLike, *, impl: Any = None) -> Array:
    """A key of an integer, as two words.

    >>> print(PRNGKey(42))
    [ 0 42]
    """
    _check_impl(impl)
    return _seed_words(seed)


def _check_impl(impl: Any, dtype: Any = None) -> None:
    if dtype not in (None, KEY_TYPE):
        fail(ArgumentError, f"random: there is no key dtype {dtype!r}", "it is random.key_dtype()")
    if impl is not None and str(impl) not in ("threefry2x32", "fry"):
        fail(ArgumentError, f"random: there is no key type {impl!r}", "it is 'threefry2x32'")


def _seed_words(seed: Any) -> Any:
    """The high and the low 32 bits of a seed; without 64-bit defaults the high ones are 0."""
    if is_number(seed) or isinstance(seed, np.integer):
        number = operator.index(seed)
        if not -(2**63) <= number < 2**64:
            fail(ArgumentError, f"random: the seed {seed} has more than 64 bits")
        top = number >> 32 & 0xFFFFFFFF if DEFAULT_DTYPES.is_wide else 0
        return settle(operand(np.array([top, number & 0xFFFFFFFF], np.uint32)))
    x = operand(seed, "random.key")
    type_ = type_of(x)
    if not dtypes.is_integer(type_.dtype) or type_.shape:
        fail(ArgumentError, f"random: a seed is one integer, not {type_}")
    low = ew.convert(x, UINT32)
    high: Any = literal(0, _WORD)
    if type_.dtype.itemsize == 8:
        high = ew.convert(ew.shift_right_logical(x, 32), UINT32)
    return stack([settle(high), settle(low)])


def key_data(keys: Any) -> Array:
    """The words of keys.

    >>> print(key_data(key(1)))
    [0 1]
    """
    return keys._words if isinstance(keys, Key) else settle(operand(keys, "key_data"))


def wrap_key_data(key_bits_array: ArrayLike, *, impl: Any = None, dtype: Any = None) -> Key:
    """Keys of their words.

    >>> wrap_key_data(PRNGKey(0)).shape
    ()
    """
    _check_impl(impl, dtype)
    words = settle(operand(key_bits_array, "wrap_key_data"))
    if type_of(words).dtype != UINT32 or type_of(words).shape[-1:] != (2,):
        fail(ArgumentError, f"wrap_key_data: keys are u32[..., 2], not {type_of(words)}")
    return Key(words)


def key_impl(keys: Any) -> str:
    """The name of the generator.

    >>> key_impl(key(0))
    'threefry2x32'
    """
    key_data(keys)
    return "threefry2x32"


def key_dtype(impl_spec: Any = None) -> KeyType:
    """The dtype of the keys of a generator.

    >>> key_dtype()
    key<fry>
    """
    _check_impl(impl_spec)
    return KEY_TYPE


def clone(key: Any) -> Any:
    """The same key, which may be used once more where `jitml.debug_key_reuse` forbids to use a key
    twice.

    >>> clone(PRNGKey(1)).shape
    (2,)
    """
    data = key_data(key)
    if not is_on("jax_debug_key_reuse"):
        return key
    words = settle(ew.or_(operand(data), literal(0, _WORD)))
    return Key(words) if isinstance(key, Key) else words


# ---- bits -----------------------------------------------------------------------------------


def words_of(name: str, key: Any, is_use: bool = True) -> tuple[Any, Any]:
    """The two words of one key, as 0-d operands; what `is_use` gives numbers that no other use of
    the key may give.
    """
    words = _words_given(name, key)
    type_ = type_of(words)
    if type_.dtype != UINT32 or type_.shape != (2,):
        are_keys = type_.dtype == UINT32 and type_.shape[-1:] == (2,)
        what = f"{len(type_.shape) - 1} dimensions of keys" if are_keys else type_
        hint = "vmap runs it for each key" if are_keys else _MAKE_KEY
        fail(ArgumentError, f"random.{name}: takes one key, not {what}", hint)
    if is_use and is_on("jax_debug_key_reuse"):
        words = _used(words, name, isinstance(key, Key))
    first, second = (mv.reshape(take_slice(words, 0, k, k + 1), ()) for k in (0, 1))
    return first, second


def _words_given(name: str, key: Any) -> Any:
    if isinstance(key, Key):
        return key._words
    if isinstance(key, (tuple, list, str)) or key is None:
        wanted = f"random.{name}: takes one key, not a {type(key).__name__}"
        fail(ArgumentError, wanted, _MAKE_KEY)
    return operand(key, name)


def _used(words: Any, name: str, is_typed: bool) -> Any:
    """The words of a key, told to be used; JAX looks at typed keys alone."""
    from jitml.ops.identity import KeyUse

    return words if CONVENTIONS.are_of_jax and not is_typed else bind1(KeyUse(name), words)


def hashed_counts(words: tuple[Any, Any], shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Two words of random bits for each element: the hash of its linear position."""
    size = math.prod(shape)
    if size > 2**32:
        fail(ArgumentError, f"random: {size} numbers of one key are not supported", "split the key")
    low = mv.reshape(mv.iota(UINT32, (size,), 0), shape)
    return threefry2x32(*words, literal(0, _WORD), low)


def random_bits(words: tuple[Any, Any], width: int, shape: tuple[int, ...]) -> Any:
    """Random unsigned integers of `width` bits."""
    first, second = hashed_counts(words, shape)
    dtype = np.dtype(f"uint{width}")
    if width == 64:
        high = ew.shift_left(ew.convert(first, dtype), 32)
        return ew.or_(high, ew.convert(second, dtype))
    return ew.convert(ew.xor(first, second), dtype)


def bits(key: Any, shape: Shape = (), dtype: Any = None, *, out_sharding: object = None) -> Array:
    """Random bits as unsigned integers.

    >>> print(bits(PRNGKey(0)))
    4070199207
    """
    from jitml.numpy.operands import as_dtype

    wanted = as_dtype("uint" if dtype is None else dtype)
    if dtypes.kind(wanted) != "u":
        fail(ArgumentError, f"random.bits: bits are unsigned integers, not {wanted.name}")
    sizes = as_shape(shape, "random.bits")
    return settle(random_bits(words_of("bits", key), wanted.itemsize * 8, sizes))


def split_words(words: tuple[Any, Any], shape: tuple[int, ...] = (2,)) -> Any:
    """New keys, in an array whose last axis has their words."""
    found = hashed_counts(words, shape)
    parts = [mv.reshape(w, (*shape, 1)) for w in found]
    return mv.concatenate(parts, len(shape))


def word_pairs(words: tuple[Any, Any], count: int = 2) -> list[tuple[Any, Any]]:
    """`count` new keys, each as its two words."""
    rows = split_words(words, (count,))
    pairs = []
    for k in range(count):
        row = mv.reshape(take_slice(rows, 0, k, k + 1), (2,))
        pairs.append(words_of("split", row, False))
    return pairs


def child(words: Words, number: int) -> Words:
    """The key with this number among those that a key is split into; of arrays of words, too."""
    first, second = threefry2x32(*words, literal(0, _WORD), literal(number, _WORD))
    return settle(first), settle(second)


def split(key: Any, num: Shape = 2) -> Any:
    """New keys, independent of each other and of the one they come from.

    >>> split(PRNGKey(0)).shape
    (2, 2)
    """
    rows = settle(split_words(words_of("split", key), as_shape(num, "random.split")))
    return Key(rows) if isinstance(key, Key) else rows


def fold_in(key: Any, data: ArrayLike) -> Any:
    """A new key of a key and an integer.

    >>> fold_in(PRNGKey(0), 1).shape
    (2,)
    """
    words = words_of("fold_in", key, False)
    if is_number(data) or isinstance(data, np.integer):
        low = literal(operator.index(data) & 0xFFFFFFFF, _WORD)
    else:
        low = cast(operand(data, "fold_in"), UINT32)
        if type_of(low).shape:
            fail(ArgumentError, f"random.fold_in: takes one integer, not {type_of(low)}")
    found = threefry2x32(*words, literal(0, _WORD), low)
    row = stack([settle(w) for w in found])
    return Key(row) if isinstance(key, Key) else row
