"""What derivatives and vmap say when they cannot: the whole messages, with the user's line."""

# ruff: noqa: E501  (messages stand here as users see them)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from jitml import differentiation as d
from jitml.ir.errors import JitmlError
from jitml.ir.op import Op
from jitml.ir.types import ArrayType
from jitml.jacobians import jacfwd, jacrev
from jitml.ops.elementwise import convert, gt, mul, sin
from jitml.trace.core import bind1
from jitml.vectorization import vmap

pytestmark = pytest.mark.usefixtures("by_value")
X = np.ones(3)
I32, C64 = np.dtype(np.int32), np.dtype(np.complex64)


@dataclass(frozen=True)
class Opaque(Op):
    """An op with nothing but a meaning."""

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return types

    def value(self, *arrays: Any) -> tuple[Any, ...]:
        return arrays


Opaque.name = "opaque"  # so late that it is not registered


def f(x: Any) -> Any:
    return mul(x, x)


# fmt: off
CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "grad_of_a_vector": (lambda: d.grad(f)(X), """
grad: gradients are of functions that return one number; this one returned f64[3]
  hint: reduce the result with .sum() or .mean(), or use jacrev or vjp
"""),
    "grad_of_a_tree": (lambda: d.value_and_grad(lambda x: (x, x))(1.0), """
value_and_grad: the function must return one number, but it returned (*, *)
  hint: return extra results beside the number, with has_aux=True
"""),
    "grad_of_an_integer_result": (lambda: d.grad(lambda x: convert(x, I32))(1.0), """
grad: the function returned i32[]; integers and booleans have no derivative
  hint: return a float
"""),
    "grad_of_a_complex_result": (lambda: d.grad(lambda x: convert(x, C64))(1.0), """
grad: the function must return a real number, but it returned c64[]
  hint: pass holomorphic=True if the function is, or use vjp
"""),
    "grad_by_an_integer": (lambda: d.grad(lambda p: p["n"])({"n": 3}), """
grad: the argument p['n'] is i32~[]; only floats and complex numbers have gradients
  hint: convert it with .astype('float32'), choose other argnums, or set allow_int=True
"""),
    "grad_by_a_boolean": (lambda: d.grad(lambda x, m: x, argnums=1)(1.0, True), """
grad: the argument m is bool[]; only floats and complex numbers have gradients
  hint: convert it with .astype('float32'), choose other argnums, or set allow_int=True
"""),
    "grad_by_a_string": (lambda: d.grad(lambda x: 1.0)({"a": "text"}), """
grad: the argument x['a'] is a str, not an array or a number
  hint: pass it by closure or functools.partial, or convert it with jitml.numpy.asarray
"""),
    "a_string_as_result": (lambda: d.grad(lambda x: "text")(1.0), """
the function returned a str at result, where an array or a number is needed
  hint: return what is not an array beside the result, with has_aux=True
"""),
    "holomorphic_of_a_real": (lambda: d.grad(f, holomorphic=True)(1.0), """
grad: holomorphic=True needs complex arguments, but x is f32~[]
  hint: convert the argument with .astype('complex64')
"""),
    "no_such_argument": (lambda: d.grad(f, argnums=3)(1.0), """
grad: argnums=3 needs more positional arguments than the 1 given
  hint: pass the differentiated arguments by position
"""),
    "no_aux": (lambda: d.grad(f, has_aux=True)(1.0), """
has_aux=True, but the function returned a Tracer, not a pair
  hint: return (result, aux)
"""),
    "not_a_function": (lambda: d.grad(3), """
grad takes a Python function, not a int
"""),
    "jacfwd_of_integers": (lambda: jacfwd(lambda x: convert(x, I32))(X), """
jacfwd: the function returned i32[3]; integers and booleans have no derivative
  hint: return a float, or return it beside the result with has_aux=True
"""),
    "jacrev_of_complex": (lambda: jacrev(lambda x: convert(x, C64))(X), """
jacrev: the function must return a real number, but it returned c64[3]
  hint: pass holomorphic=True if the function is, or use vjp
"""),
    "jvp_structures": (lambda: d.jvp(f, (1.0, 2.0), (1.0,)), """
jvp: primals and tangents differ in structure: (*, *) and (*,)
  hint: give one tangent for each primal
"""),
    "jvp_not_a_tuple": (lambda: d.jvp(f, 1.0, 1.0), """
jvp: primals must be a tuple or a list of arguments, not a float
  hint: for a function of one argument write (primals,)
"""),
    "jvp_shapes": (lambda: d.jvp(f, (X,), (np.ones(2),)), """
jvp: the tangent has type f64[2], but the value that it belongs to has f64[3]
"""),
    "jvp_dtypes": (lambda: d.jvp(f, (X,), (np.ones(3, np.float32),)), """
jvp: the tangent has type f32[3], but the value that it belongs to has f64[3]
  hint: convert it with .astype('float64')
"""),
    "jvp_integers": (lambda: d.jvp(f, (1,), (1,)), """
jvp: the tangent of an integer or boolean value of type i32~[] must have dtype float0
  hint: use np.zeros(shape, jitml.dtypes.float0)
"""),
    "vjp_shapes": (lambda: d.vjp(f, X)[1](np.ones(2)), """
vjp: the cotangent has type f64[2], but the value that it belongs to has f64[3]
"""),
    "vjp_structures": (lambda: d.vjp(f, X)[1]((X,)), """
the cotangent has structure PyTreeDef((*,)), the function's result PyTreeDef(*)
  hint: a cotangent has the structure of the function's result
"""),
    "not_linear": (lambda: d.linear_transpose(f, X), """
mul is not linear in the inputs that are transposed
  at LINE in f:  return mul(x, x)
  hint: linear_transpose takes linear functions only; vjp takes all
"""),
    "not_linear_at_all": (lambda: d.linear_transpose(sin, X), """
sin is not linear in the inputs that are transposed
  hint: linear_transpose takes linear functions only; vjp takes all
"""),
    "no_rule": (lambda: d.grad(lambda x: bind1(Opaque(), x))(2.0), """
opaque cannot be differentiated: it has no jvp rule
  hint: stop_gradient around its input, if its derivative is to be taken as zero
"""),
    "no_batch_rule": (lambda: vmap(lambda x: bind1(Opaque(), x))(X), """
opaque cannot be vmapped: it has no batch rule
  hint: use a Python loop over the elements, or lax.map
"""),
    "vmap_sizes": (lambda: vmap(lambda x, y: x, in_axes=(0, 1))(X, {"q": np.ones((2, 4))}), """
vmap: the mapped axes differ in size: 3 (axis 0 of x: f64[3]); 4 (axis 1 of y['q']: f64[2,4])
  hint: map axes of one size, or give None in in_axes for arguments that all share
"""),
    "vmap_of_a_scalar": (lambda: vmap(lambda x, y: x)(X, {"q": 1.0}), """
vmap: axis 0 is out of range for the argument y['q'] of type f32~[], which has 0 dimensions
  hint: give None in in_axes for what all elements share
"""),
    "vmap_axis": (lambda: vmap(f, in_axes=2)(X), """
vmap: axis 2 is out of range for the argument x of type f64[3], which has 1 dimensions
"""),
    "vmap_count": (lambda: vmap(lambda x, y: x, in_axes=(0,))(X, X), """
vmap: in_axes has 1 entries for 2 positional arguments
  hint: give one entry for each argument; arguments passed by name are mapped over axis 0
"""),
    "vmap_prefix": (lambda: vmap(lambda p: p["a"], in_axes=({"b": 0},))({"a": X}), """
vmap: in_axes=({'b': 0},) does not fit the arguments: arguments[0] lacks 'b' and has unexpected 'a'
  hint: in_axes must be an integer, None, or a tree of these with the outer structure of the arguments
"""),
    "vmap_of_nothing": (lambda: vmap(f, in_axes=None)(X), """
vmap: no argument is mapped: every entry of in_axes is None
  hint: map at least one argument, or give axis_size
"""),
    "vmap_out": (lambda: vmap(lambda x: {"a": x}, out_axes=None)(X), """
vmap: out_axes is None for result['a'], which differs from element to element
  hint: give the axis along which the results are stacked
"""),
    "vmap_out_axis": (lambda: vmap(lambda x: [x], out_axes=3)(X), """
vmap: axis 3 is out of range for result[0] once stacked, which has 1 dimensions
"""),
    "vmap_float_axis": (lambda: vmap(f, in_axes=0.5), """
vmap: in_axes holds 0.5; axes are integers or None
  hint: in_axes=0 maps the first axis
"""),
    "vmap_of_a_string": (lambda: vmap(lambda x: x)(["a"]), """
vmap: the argument x[0] is a str, not an array or a number
  hint: pass it by closure or functools.partial, or convert it with jitml.numpy.asarray
"""),
    "vmap_bool": (lambda: vmap(lambda x: x if gt(x, 0.0) else sin(x))(X), """
a Python truth value was asked of a value of type bool[] computed from x: f64[], whose value is not known while <lambda> is traced
  hint: decide with jitml.numpy.where or lax.cond, or make the argument it comes from static (static_argnames)
"""),
}
# fmt: on


@pytest.mark.parametrize("name", CASES)
def test_messages(name: str) -> None:
    attempt, wanted = CASES[name]
    with pytest.raises(JitmlError) as caught:
        attempt()
    lines = str(caught.value).splitlines()
    located = [line for line in lines if line.startswith("  at ")]
    assert len(located) == 1, "an error has the user's line"
    assert located[0].startswith("  at test_errors_differentiation.py:")
    expected = wanted.strip().splitlines()
    if any(" at LINE" in line for line in expected):
        assert located[0].endswith("in f:  return mul(x, x)")
        expected = [line for line in expected if " at LINE" not in line]
    assert [line for line in lines if not line.startswith("  at ")] == expected
    assert len(lines) <= 6


def test_errors_are_those_that_users_of_jax_catch() -> None:
    with pytest.raises(TypeError):
        d.grad(f)(X)
    with pytest.raises(ValueError):
        vmap(f, in_axes=2)(X)
    with pytest.raises(ValueError):
        d.vjp(f, X)[1](np.ones(2))
