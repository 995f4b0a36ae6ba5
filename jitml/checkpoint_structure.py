"""The structure of a tree as plain JSON, and back.

In: specs of `Structure`. Out: nested lists of names, static data and children. A class is found by
its name among the modules that are imported already; nothing is imported or run for a file's sake.
"""

from __future__ import annotations

import sys
from typing import Any

from jitml.ir.errors import CheckpointError
from jitml.ir.source import user_source
from jitml.tree_registry import NODES, NodeKind
from jitml.tree_structure import Spec, Structure

_PLAIN = (str, int, float, bool, type(None))
_DEEPEST = 500


class DamagedStructure(Exception):
    """Text that is no structure."""


def node_to_text(spec: Spec) -> Any:
    """A structure as JSON: None for a leaf, or class, fields, static data and children."""
    if spec is None:
        return None
    kind, data, children = spec
    type_ = kind.type
    name = f"{type_.__module__}:{type_.__qualname__}"
    return [name, _fields(kind), _data_to_text(data), [node_to_text(child) for child in children]]


def _fields(kind: NodeKind) -> list[str]:
    """The names of the children, where they are attributes."""
    return list(kind.fields[0] if kind.fields else getattr(kind.type, "_fields", ()))


def text_to_structure(text: Any, leaf_count: int) -> Structure:
    """The inverse of `node_to_text`."""
    spec, count = _spec(text, _DEEPEST)
    if count != leaf_count:
        raise DamagedStructure(f"{leaf_count} leaves for a structure of {count}")
    return Structure(spec, count)


def _spec(text: Any, deepest: int) -> tuple[Spec, int]:
    if text is None:
        return None, 1
    if not deepest:
        raise DamagedStructure("its containers are nested too deep")
    name, fields, data, children = text
    type_ = _class(name)
    kind = NODES[type_]
    if kind is None:
        raise _unusable(name, "is no container")
    if _fields(kind) != fields:
        raise _unusable(name, f"has fields {_fields(kind)} now, not {fields}")
    found = [_spec(child, deepest - 1) for child in children]
    spec = (kind, _text_to_data(data, name), tuple([inner for inner, _ in found]))
    return spec, sum(count for _, count in found)


def _class(name: str) -> type:
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    if name == "builtins:NoneType":
        found = type(None)
    if not isinstance(found, type):
        raise _unusable(name, "is not there now")
    return found


def _unusable(name: str, problem: str) -> CheckpointError:
    return CheckpointError(
        f"load: the class {name.replace(':', '.')} of a container {problem}",
        hint="import the module that has it first, or pass a tree of that structure as like=",
        source=user_source(),
    )


# ---- static data ---------------------------------------------------------------------------------


def _data_to_text(data: Any) -> Any:
    """Static data that are plain, as JSON; of others their type only."""
    if isinstance(data, tuple):
        return {"tuple": [_data_to_text(x) for x in data]}
    if type(data) in _PLAIN:
        return data
    return {"other": type(data).__qualname__}


def _text_to_data(text: Any, name: str) -> Any:
    if not isinstance(text, dict):
        return text
    if "other" in text:
        raise _unusable(name, f"has static data, a {text['other']}, that files cannot hold")
    return tuple([_text_to_data(x, name) for x in text["tuple"]])
