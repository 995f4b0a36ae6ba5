"""`Op`: one operation of the IR, with all its rules in one place.

An op is a record: its fields are its parameters (so equality, hashing, printing and
parsing follow), its methods are its rules. A rule that an op lacks says so when asked (`has`), it
is never discovered by a crash.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from jitml.ir.errors import TransformError
from jitml.ir.types import ArrayType
from jitml_runtime.record import field_names, frozen

# Rules that build equations take and return what the tracer gives them; the IR does not know its
# type.
Traced = Any

RULES = ("infer", "value", "jvp", "transpose", "batch", "lower", "expand")


class Undefined:
    """Stands for a linear input in a transpose rule: its value is unknown, its type is not."""

    __slots__ = ("type",)

    def __init__(self, type_: ArrayType) -> None:
        self.type = type_


@frozen
class Op:
    """Base of all ops. `name` is the op's name in text; ops register themselves under it."""

    name: ClassVar[str]
    registry: ClassVar[dict[str, type[Op] | Op]] = {}
    # Whether it calls its parameter `body`, a graph, and has a derivative of the user's own.
    has_rule: ClassVar[bool] = False
    # Whether it holds what exists in this process alone, so that no file can hold it.
    is_of_this_process: ClassVar[bool] = False
    # Whether it is a call of a Python function, `callback`, which `run` makes for arrays at hand.
    runs_python: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in cls.__dict__:
            Op.registry[cls.name] = cls

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        """Types of the outputs; raises a named error if the inputs do not fit."""
        raise self._lacks("infer")

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        """The op's meaning in NumPy: oracle and documentation, never used to compute a user's
        result."""
        raise self._lacks("value")

    def jvp(
        self, primals: Sequence[Traced], tangents: Sequence[Traced | None]
    ) -> tuple[Sequence[Traced], Sequence[Traced | None]]:
        """Outputs and their tangents. A tangent that is None is a symbolic zero."""
        raise self._lacks("jvp")

    def transpose(
        self, cotangents: Sequence[Traced | None], inputs: Sequence[Traced | Undefined]
    ) -> Sequence[Traced | None]:
        """Cotangents of the inputs that are `Undefined` (the linear ones); None for the others and
        for zero."""
        raise self._lacks("transpose")

    def batch(
        self, size: int, inputs: Sequence[Traced], axes: Sequence[int | None]
    ) -> tuple[Sequence[Traced], Sequence[int | None]]:
        """Outputs and their batch axes, for inputs of which some have an extra axis of `size` at
        `axes`."""
        raise self._lacks("batch")

    def record_in(self, trace: Any, inputs: Sequence[Traced]) -> Sequence[Traced]:
        """Record an op that has a rule in a trace that records for a derivative; its outputs."""
        raise self._lacks("record_in")

    def expand(self, *inputs: Traced) -> Sequence[Traced]:
        """The outputs stated in other ops, for an op that has no kernel of its own."""
        raise self._lacks("expand")

    def expands(self, *types: ArrayType) -> bool:
        """Whether `expand` is to be used for inputs of these types."""
        return self.has("expand")

    @property
    def step_label(self) -> str:
        """What steps of a plan that run it are called."""
        return self.name

    @property
    def runs_once(self) -> bool:
        """Whether a trace for a derivative runs it by `record_in`, and nothing runs it again."""
        return self.has_rule

    @property
    def has_effect(self) -> bool:
        """Whether running it does something beside computing its outputs: then it is neither
        dropped nor repeated, and keeps its place among others that do.
        """
        return False

    def silent(self) -> Op | None:
        """The op that computes the same a second time, if there is one without the effect."""
        return None

    def has(self, rule: str) -> bool:
        """Whether this op has the rule (one of `RULES`)."""
        return getattr(type(self), rule, None) is not getattr(Op, rule, None)

    def _lacks(self, rule: str) -> TransformError:
        return TransformError(
            f"{self.name} has no {rule} rule",
            hint="`python -m jitml ops` lists the rules of every op",
        )

    def parameters(self) -> dict[str, Any]:
        """The op's parameters in order of definition."""
        return {name: getattr(self, name) for name in field_names(self)}
