"""One mathematical function of each of a million numbers, in single and double precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.suite.workload import workload

COUNT = 1_000_000


class Interval(NamedTuple):
    """Where operands lie: |normal numbers|·scale + start, with signs if `signed`; or uniform."""

    signed: bool = True
    start: float = 0.0
    scale: float = 1.0
    uniform: bool = False

    def draw(self, random: np.random.Generator, dtype: str) -> Any:
        if self.uniform:
            return (self.start + self.scale * random.random(COUNT)).astype(dtype)
        x = random.standard_normal(COUNT) * self.scale
        return (x if self.signed else np.abs(x) + self.start).astype(dtype)


ANY = Interval()
WIDE = Interval(scale=30.0)
POSITIVE = Interval(signed=False, start=0.1)
ABOVE_ONE = Interval(signed=False, start=1.0)
UNIT = Interval(start=0.001, scale=0.998, uniform=True)
BOTH_UNITS = Interval(start=-0.999, scale=1.998, uniform=True)
LARGE = Interval(start=1.5, scale=20.0, uniform=True)


def _at(module: Any, path: str) -> Callable[..., Any]:
    for name in path.split("."):
        module = getattr(module, name)
    return module  # type: ignore[no-any-return]


def _torch(path: str) -> Callable[..., Any]:
    def function(*xs: Any) -> Any:
        import torch

        return _at(torch, path)(*xs)

    return function


def _scipy(name: str) -> Callable[..., Any]:
    def function(*xs: Any) -> Any:
        import scipy.special

        return getattr(scipy.special, name)(*xs)

    return function


def _add(
    path: str, *intervals: Interval, torch: str | None = None, numpy: str | None = None
) -> None:
    """Workloads on the function at `path` in jitml and JAX; `numpy` may be one of SciPy's."""
    name = path.rpartition(".")[2]
    others: dict[str, Callable[..., Any]] = {}
    if torch is not None:
        others["torch"] = _torch(torch)
    if numpy is not None:
        others["numpy"] = getattr(np, numpy, None) or _scipy(numpy)

    for dtype in ("float32", "float64"):

        def arrays(random: np.random.Generator, dtype: str = dtype) -> tuple[Any, ...]:
            return tuple(interval.draw(random, dtype) for interval in intervals)

        @workload("mathematics", f"{name} {dtype}", arrays=arrays, **others)
        def function(lib: Any, *xs: Any) -> Any:
            return _at(lib, path)(*xs)


def _add_all(names: Sequence[str], interval: Interval = ANY) -> None:
    """Functions with one name everywhere, but for torch's shorter ones of inverses."""
    for name in names:
        torch = name.replace("arc", "a") if name != "cbrt" else None
        _add(f"np.{name}", interval, torch=torch, numpy=name)


_add_all(("exp", "exp2", "expm1", "tan", "arctan", "sinh", "cosh", "tanh", "arcsinh", "cbrt"))
_add_all(("sin", "cos"), WIDE)
_add_all(("log", "log2", "log10", "log1p"), POSITIVE)
_add_all(("arcsin", "arccos", "arctanh"), BOTH_UNITS)
_add_all(("arccosh",), ABOVE_ONE)
_add("np.power", POSITIVE, ANY, torch="pow", numpy="power")
_add("np.arctan2", ANY, ANY, torch="atan2", numpy="arctan2")
_add("np.hypot", ANY, ANY, torch="hypot", numpy="hypot")
_add("np.logaddexp", ANY, ANY, torch="logaddexp", numpy="logaddexp")
_add("np.sinc", ANY, torch="sinc", numpy="sinc")
_add("lax.rsqrt", POSITIVE, torch="rsqrt")
_add("nn.sigmoid", ANY, torch="sigmoid", numpy="expit")
_add("nn.softplus", ANY, torch="nn.functional.softplus")
_add("nn.gelu", ANY)
_add("nn.silu", ANY, torch="nn.functional.silu")
_add("nn.elu", ANY, torch="nn.functional.elu")
_add("scipy.special.erf", ANY, torch="special.erf", numpy="erf")
_add("scipy.special.erfc", ANY, torch="special.erfc", numpy="erfc")
_add("scipy.special.erfinv", BOTH_UNITS, torch="special.erfinv", numpy="erfinv")
_add("scipy.special.gammaln", LARGE, torch="special.gammaln", numpy="gammaln")
_add("scipy.special.digamma", LARGE, torch="special.digamma", numpy="digamma")
_add("scipy.special.gamma", LARGE, numpy="gamma")
_add("scipy.special.i0e", ANY, torch="special.i0e", numpy="i0e")
_add("scipy.special.i1e", ANY, torch="special.i1e", numpy="i1e")
_add("scipy.special.ndtr", ANY, torch="special.ndtr", numpy="ndtr")
_add("scipy.special.log_ndtr", ANY, torch="special.log_ndtr", numpy="log_ndtr")
_add("scipy.special.ndtri", UNIT, torch="special.ndtri", numpy="ndtri")
_add("scipy.special.logit", UNIT, torch="special.logit", numpy="logit")
_add("scipy.special.entr", UNIT, torch="special.entr", numpy="entr")
_add("scipy.special.xlogy", POSITIVE, POSITIVE, torch="special.xlogy", numpy="xlogy")
_add("scipy.special.spence", POSITIVE, numpy="spence")
_add("scipy.special.exp1", POSITIVE, numpy="exp1")
_add("scipy.special.expi", POSITIVE, numpy="expi")
_add("scipy.special.gammainc", LARGE, LARGE, torch="special.gammainc", numpy="gammainc")
_add("scipy.special.betainc", LARGE, LARGE, UNIT, numpy="betainc")
_add("scipy.special.zeta", LARGE, LARGE, torch="special.zeta", numpy="zeta")
