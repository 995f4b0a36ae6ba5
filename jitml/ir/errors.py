"""The errors that users meet: what went wrong, where in their program, and how to go on.

Public as `jitml.errors`. Names that JAX's users catch are kept.
"""

from __future__ import annotations

import sys

from jitml.ir.source import Source


class JitmlError(Exception):
    """Base of jitml's errors. `message` says what, `source` where, `hint` how to go on."""

    def __init__(self, message: str, *, hint: str = "", source: Source | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.source = source

    def located(self, source: Source) -> JitmlError:
        """This error, told where it happened (the first telling counts)."""
        if self.source is None and source:
            self.source = source
        return self

    def _render_traceback_(self) -> list[str]:
        """As IPython shows it."""
        from jitml.ir.tracebacks import hide_frames

        hide_frames(self)
        shell = sys.modules["IPython"].get_ipython().InteractiveTB
        lines: list[str] = shell.structured_traceback(
            type(self), self, self.__traceback__, tb_offset=1
        )
        return lines

    def __str__(self) -> str:
        lines = [self.message]
        if self.source:
            lines.append(f"  {self.source.describe()}")
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


class ShapeError(JitmlError, TypeError, ValueError):
    """Shapes that do not fit together."""


class DTypeError(JitmlError, TypeError):
    """A dtype that an operation cannot take."""


class TypePromotionError(JitmlError, ValueError):
    """Dtypes that the switch `jax_numpy_dtype_promotion` does not let meet."""


class TracingForbiddenError(JitmlError, RuntimeError):
    """A function is traced where the switch `jax_no_tracing` forbids it."""


class AxisError(JitmlError, ValueError, IndexError):
    """An axis out of range, or given twice."""


class UnboundAxisError(JitmlError, NameError):
    """A collective over an axis that no vmap around it names."""


class JAXIndexError(JitmlError, IndexError):
    """An index that cannot be used, under JAX's name."""


class OutOfBoundsError(JAXIndexError):
    """An index outside its axis."""


class ArgumentError(JitmlError, TypeError, ValueError):
    """An argument that a function of jitml cannot take."""


class DifferentiationError(JitmlError, TypeError):
    """Something that has no derivative was differentiated."""


class MissingRuleError(JitmlError, AttributeError):
    """A function with a custom derivative was called before its rule was given."""


class NativeError(JitmlError, RuntimeError):
    """A compiled function of the user's own has raised an exception."""


class CheckError(JitmlError, ValueError):
    """A check has failed."""


class TreeError(JitmlError, TypeError, ValueError):
    """Nested containers whose structures differ, or a leaf that cannot be used."""


class FloatError(JitmlError, FloatingPointError):
    """A NaN or an infinity, where a switch forbids it."""


class KeyReuseError(JitmlError, RuntimeError):
    """A key that random numbers were drawn from already, where a switch forbids it."""


class CheckpointError(JitmlError, ValueError):
    """A file of arrays that cannot be used."""


class VerificationError(JitmlError, AssertionError):
    """A compiled function gave something else than its equations do one by one."""


class TransformError(JitmlError, NotImplementedError):
    """A transform that an op does not have."""


class DivisionByZeroError(JitmlError, ZeroDivisionError):
    """An integer that was divided by 0."""


class IntegerOverflowError(JitmlError, OverflowError):
    """An integer that its dtype cannot hold."""


class TracerError(JitmlError, TypeError):
    """An abstract value was used where only a concrete one can serve."""


class ConcretizationTypeError(TracerError):
    """A concrete value was needed of an abstract one."""


class TracerBoolConversionError(ConcretizationTypeError):
    """`bool()` of an abstract value."""


class TracerIntegerConversionError(TracerError):
    """An abstract value was used as a Python integer or index."""


class TracerArrayConversionError(TracerError):
    """An abstract value was converted to a NumPy array."""


class NonConcreteBooleanIndexError(TracerError, JAXIndexError):
    """A boolean mask whose number of true entries is not known while tracing."""


class UnexpectedTracerError(TracerError):
    """A tracer was used after the trace that made it had ended."""


class LongIterationError(TracerError):
    """Python would go through many rows of an abstract array, where one loop can serve."""


class UnassignedVariableError(JitmlError, NameError):
    """A variable is read that not every way through the program has assigned."""


class InternalError(JitmlError, AssertionError):
    """A mistake of jitml's own; please report it with the message."""


for _found in list(globals().values()):
    if isinstance(_found, type) and issubclass(_found, JitmlError):
        _found.__module__ = "jitml.errors"  # where users find them
