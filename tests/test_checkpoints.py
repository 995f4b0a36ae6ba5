"""Trees of arrays come back from files as they were; files that are damaged are refused."""

from __future__ import annotations

import json
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import jitml
import jitml.numpy as jnp
from jitml import optim
from jitml.errors import ArgumentError, CheckpointError

numpy_files = pytest.importorskip("safetensors.numpy")

DTYPES = (
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 bfloat16 float32 float64 "
    "complex64 complex128"
)


class Pair(NamedTuple):
    first: Any
    second: Any


@jitml.tree_util.register_dataclass
@dataclass
class Layer:
    weights: Any
    name: str = field(metadata={"static": True})


@jitml.tree_util.register_pytree_node_class
class Masked:
    def __init__(self, x: Any, mask: frozenset[int]) -> None:
        self.x, self.mask = x, mask

    def tree_flatten(self) -> tuple[tuple[Any], frozenset[int]]:
        return (self.x,), self.mask

    @classmethod
    def tree_unflatten(cls, mask: frozenset[int], children: tuple[Any]) -> Masked:
        return cls(children[0], mask)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.safetensors"


def back(path: Path, tree: Any) -> Any:
    jitml.save(path, tree)
    return jitml.load(path)


def same_bits(x: Any, y: Any) -> bool:
    return (x.dtype, x.shape) == (y.dtype, y.shape) and np.asarray(x).tobytes() == np.asarray(
        y
    ).tobytes()


def test_every_dtype_keeps_its_bits(path: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 2, 96, np.uint8)
    tree = {name: jnp.asarray(bits[:6].reshape(2, 3)).astype(name) for name in DTYPES.split()}
    tree |= {
        "nan": jnp.array([np.nan, -0.0, np.inf]),
        "none": jnp.zeros((0, 3)),
        "0-d": jnp.ones(()),
    }
    found = back(path, tree)
    assert all(same_bits(found[name], x) for name, x in tree.items())
    assert not any(x.weak_type for x in found.values())


def test_structure_is_kept(path: Path) -> None:
    x = jnp.arange(3)
    tree = {
        "params": [{"w": x, "b": None}, (x, ()), Pair(x, {1: x, 2: x})],
        "layers": (Layer(x, "first"), OrderedDict(z=x, a=x)),
        "numbers": [True, 3, -(10**30), 0.1, float("inf"), 1 - 2j],
        "key": jitml.random.key(3),
        "a.b": x,
        "a": {"b": x},
    }
    found = back(path, tree)
    assert jitml.tree.structure(found) == jitml.tree.structure(tree)
    assert found["numbers"] == tree["numbers"]
    assert [type(n) for n in found["numbers"]] == [bool, int, int, float, float, complex]
    assert found["params"][2].second[2].tolist() == [0, 1, 2]
    assert (found["layers"][0].name, list(found["layers"][1])) == ("first", ["z", "a"])
    assert jitml.random.bits(found["key"]) == jitml.random.bits(tree["key"])


@pytest.mark.parametrize("tree", [jnp.ones(2), 3.5, None, {}, []], ids=repr)
def test_trees_of_one_leaf_or_none(path: Path, tree: Any) -> None:
    assert repr(back(path, tree)) == repr(tree)


def test_other_programs_read_names_and_arrays(path: Path) -> None:
    jitml.save(path, {"layer": [{"w": jnp.ones((2, 1), jnp.bfloat16)}]})
    (name, array), *rest = numpy_files.load_file(path).items()
    assert (name, array.dtype.name, array.shape, rest) == ("layer.0.w", "bfloat16", (2, 1), [])


def test_files_of_other_programs_are_dicts(path: Path) -> None:
    numpy_files.save_file({"a.b": np.ones(2), "c": np.arange(3)}, path)
    found = jitml.load(path)
    assert {k: x.tolist() for k, x in found.items()} == {"a.b": [1, 1], "c": [0, 1, 2]}


def test_containers_that_files_cannot_name_come_from_like(path: Path) -> None:
    tree = {"m": Masked(jnp.ones(2), frozenset({1})), "d": defaultdict(list, k=jnp.zeros(1))}
    jitml.save(path, tree)
    with pytest.raises(CheckpointError, match="has static data, a "):
        jitml.load(path)
    found = jitml.load(path, like=tree)
    assert (found["m"].mask, found["d"].default_factory) == (frozenset({1}), list)
    shape = jitml.ShapeDtypeStruct((2,), "float32")
    jitml.save(path, [jnp.ones(2)])
    assert jitml.load(path, like=[shape])[0].tolist() == [1, 1]
    with pytest.raises(CheckpointError, match="has not the structure of `like`"):
        jitml.load(path, like=(shape,))
    with pytest.raises(CheckpointError, match=r"\[0\] is float32\[2\] in .*, float32\[3\] in"):
        jitml.load(path, like=[jnp.ones(3)])


def test_training_resumes_bit_for_bit(path: Path) -> None:
    optimizer = optim.adamw(optim.cosine(0.1, 20))

    @jitml.jit
    def step(state: Any) -> Any:
        parameters, moments, key = state
        key, own = jitml.random.split(key)
        x = jitml.random.normal(own, (4, 3))

        def loss(p: Any) -> Any:
            return jnp.mean(jnp.tanh(x @ p["w"] + p["b"]) ** 2)

        updates, moments = optimizer.update(jitml.grad(loss)(parameters), moments, parameters)
        return optim.apply_updates(parameters, updates), moments, key

    parameters = {"w": jnp.ones((3, 2)), "b": jnp.ones(2, jnp.bfloat16)}
    state = (parameters, optimizer.init(parameters), jitml.random.key(0))
    for _ in range(5):
        state = step(state)
    resumed = back(path, state)
    for _ in range(5):
        state, resumed = step(state), step(resumed)
    assert jitml.tree.structure(state) == jitml.tree.structure(resumed)
    assert all(map(same_bits, jitml.tree.leaves(state), jitml.tree.leaves(resumed)))


def test_damaged_files_are_refused(path: Path) -> None:
    jitml.save(path, {"w": jnp.arange(8.0), "n": 3})
    whole = path.read_bytes()
    for kept in range(0, len(whole), 13):
        path.write_bytes(whole[:kept])
        with pytest.raises(CheckpointError, match="is no safetensors file, or is damaged"):
            jitml.load(path)
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        with pytest.raises(CheckpointError, match="write it again with jitml"):
            jitml.load(path)


def rewritten(path: Path, tree_text: str) -> None:
    """A file with another tree, its checksum right."""
    from jitml.checkpoints import _checksum

    checksum = _checksum(tree_text, {})
    numpy_files.save_file({}, path, {"jitml": "1", "tree": tree_text, "checksum": checksum})


@pytest.mark.parametrize(
    ("structure", "problem"),
    [
        (["os:system", [], None, []], "the class os.system of a container is not there now"),
        (["builtins:str", [], None, []], "the class builtins.str of a container is no container"),
        (["no_module:Gone", [], None, []], "no_module.Gone of a container is not there now"),
        ([f"{__name__}:Pair", ["one"], None, []], "has fields .'first', 'second'. now"),
        (["builtins:list", [], None, [None]], "0 leaves for a structure of 1"),
        ("nonsense", "cannot be read as a tree"),
        (["builtins:dict", [], {"tuple": ["a"]}, []], "cannot be read as a tree"),
    ],
)
def test_structures_that_cannot_be(path: Path, structure: Any, problem: str) -> None:
    rewritten(path, json.dumps({"structure": structure, "leaves": []}))
    with pytest.raises(CheckpointError, match=problem):
        jitml.load(path)


def test_mistakes(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"save: a\.b is a str, not an array or a number"):
        jitml.save(path, {"a": {"b": "text"}})
    with pytest.raises(FileNotFoundError, match="there is no file"):
        jitml.load(path)
    jitml.save(path, 1)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    numpy_files.save_file({}, path, {"jitml": "2"})
    with pytest.raises(CheckpointError, match="has the format 2, this jitml reads 1"):
        jitml.load(path)


def test_headers_that_lie_are_refused(path: Path) -> None:
    def written(header: bytes, data: bytes, size: int | None = None) -> None:
        path.write_bytes((size or len(header)).to_bytes(8, "little") + header + data)

    part = '{"dtype":"F32","shape":[2],"data_offsets":[%d,%d]}'
    for first, second in [
        ((0, 8), (4, 12)),
        ((0, 8), (8, 99)),
        ((0, 8), (12, 8)),
        ((0, 8), (9, 17)),
    ]:
        written(f'{{"a":{part % first},"b":{part % second}}}'.encode(), bytes(17))
        with pytest.raises(CheckpointError, match="is no safetensors file, or is damaged"):
            jitml.load(path)
    for size in (1, 2**62, 2**64 - 1):
        written(b"{}", b"", size)
        with pytest.raises(CheckpointError, match="is no safetensors file, or is damaged"):
            jitml.load(path)
