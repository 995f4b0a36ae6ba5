"""Frozen classes of named fields: what `dataclass(frozen=True)` gives, without compiling code for
each class, which would be most of what an import costs.

In: classes with annotations. Out: the same classes with constructor, equality, hash and text. Must
not know what they are for.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

Class = TypeVar("Class", bound=type)
Instance = TypeVar("Instance")

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**options: Any) -> Callable[[Any], Any]:
        """What type checkers are to know of `frozen`."""
        return lambda function: function


@dataclass_transform(frozen_default=True)
def frozen(class_: Class) -> Class:
    """Decorator: annotated attributes become fields, those of record base classes before its own.

    What the class itself defines (`__init__`, `__eq__`, …) stays. Two records are equal if they are
    of the same class and all their fields are equal.
    """
    names = [*field_names(class_)]
    for name, annotation in vars(class_).get("__annotations__", {}).items():
        if name not in names and not annotation.startswith("ClassVar"):
            names.append(name)
    methods = {
        "__init__": _constructor(class_, names),
        "__setattr__": _refuse,
        "__delattr__": _refuse,
        "__repr__": _text,
        **_comparison(names),
    }
    own = vars(class_)
    if "__eq__" in own:  # then Python has set `__hash__` to None if it is not there too
        del methods["__eq__"], methods["__hash__"]
    for name, method in methods.items():
        if name not in own:
            setattr(class_, name, method)
    class_.__record_fields__ = tuple(names)  # type: ignore[attr-defined]
    return class_


def field_names(class_: Any) -> tuple[str, ...]:
    """The names of the fields of a record or a class of records, in order."""
    return getattr(class_, "__record_fields__", ())


def replace(instance: Instance, **changes: Any) -> Instance:
    """The record with other values in some of its fields."""
    values = {name: getattr(instance, name) for name in field_names(instance)}
    if not values.keys() >= changes.keys():
        unknown = ", ".join(changes.keys() - values.keys())
        raise TypeError(f"{type(instance).__name__} has no field {unknown}")
    return type(instance)(**{**values, **changes})


def _constructor(class_: type, names: list[str]) -> Callable[..., None]:
    count = len(names)

    def __init__(self: Any, /, *args: Any, **kwargs: Any) -> None:
        if kwargs or len(args) != count:
            args = _completed(class_, names, args, kwargs)
        self.__dict__.update(zip(names, args))  # noqa: B905  (as many as there are names)

    return __init__


def _completed(
    class_: type, names: list[str], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, ...]:
    """The values of all fields, with defaults for those that are not given."""
    given = dict(zip(names, args, strict=False))
    wrong = [name for name in kwargs if name in given or name not in names]
    values = {**given, **kwargs}
    missing = [name for name in names if name not in values and not hasattr(class_, name)]
    if len(args) > len(names) or wrong or missing:
        raise TypeError(
            f"{class_.__name__} takes the fields ({', '.join(names)})"
            + (f"; missing: {', '.join(missing)}" if missing else "")
            + (f"; given twice or unknown: {', '.join(wrong)}" if wrong else "")
        )
    return tuple([values[name] if name in values else getattr(class_, name) for name in names])


def _comparison(names: list[str]) -> dict[str, Any]:
    values: Callable[[Any], Any] = attrgetter(*names) if names else lambda instance: ()

    def __eq__(self: Any, other: object) -> Any:
        if self is other:
            return True
        return values(self) == values(other) if type(self) is type(other) else NotImplemented

    def __hash__(self: Any) -> int:
        return hash((type(self), values(self)))

    return {"__eq__": __eq__, "__hash__": __hash__}


def _refuse(self: Any, name: str, value: Any = None) -> NoReturn:
    raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be set or deleted")


def _text(self: Any) -> str:
    fields = ", ".join([f"{name}={getattr(self, name)!r}" for name in field_names(self)])
    return f"{type(self).__qualname__}({fields})"
