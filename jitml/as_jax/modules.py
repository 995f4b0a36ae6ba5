"""The modules that stand in for JAX's.

In: names of modules of JAX that a program imports. Out: modules that hand on names of jitml's, or
an error that says that jitml lacks one. Must not know what the names mean.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

#: The version of JAX whose names and signatures these are.
JAX_VERSION = "0.10.2"

_SAME = (
    "ad_checkpoint api_util core custom_batching custom_derivatives debug distributed dlpack "
    "dtypes errors experimental experimental.ode export flatten_util image lax lax.linalg "
    "monitoring nn nn.initializers numpy numpy.fft numpy.linalg ops profiler random ref "
    "scipy scipy.fft scipy.integrate scipy.interpolate scipy.linalg scipy.ndimage "
    "scipy.optimize scipy.signal scipy.sparse scipy.sparse.linalg scipy.special scipy.stats "
    "sharding stages test_util tree tree_util typing"
)
"""Modules that have the same name in both."""

_DISTRIBUTIONS = (
    "bernoulli beta betabinom binom cauchy chi2 dirichlet expon gamma gennorm geom gumbel_l "
    "gumbel_r laplace logistic multinomial multivariate_normal nbinom norm pareto poisson t "
    "truncnorm uniform vonmises wrapcauchy"
)

SOURCES: dict[str, str] = {
    "jax": "jitml",
    "jaxlib": "jitml.as_jax.version",
    "jaxlib.version": "jitml.as_jax.version",
    "jax.version": "jitml.as_jax.version",
    "jax.experimental.checkify": "jitml.checkify",
    "jax.experimental.mesh_utils": "jitml.as_jax.mesh_utils",
    "jax.experimental.pjit": "jitml.as_jax.pjit",
    "jax.experimental.shard_map": "jitml.as_jax.shard_map",
    **{f"jax.{name}": f"jitml.{name}" for name in _SAME.split()},
    **{f"jax.scipy.stats.{name}": f"jitml.scipy.stats.{name}" for name in _DISTRIBUTIONS.split()},
}
"""Where the names of each module of JAX come from."""


class StandIn(ModuleType):
    """A module of JAX whose names are those of a module of jitml."""

    def __init__(self, name: str, source: ModuleType) -> None:
        super().__init__(name, source.__doc__)
        self.__source = source
        if name in ("jax", "jaxlib"):
            self.__version__ = JAX_VERSION

    def __getattr__(self, name: str) -> Any:
        full = f"{self.__name__}.{name}"
        if full in SOURCES:
            return _module(full)
        if name.startswith("__") and not name.startswith(("__all__", "__array")):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        found = getattr(self.__source, name, self)
        is_module = isinstance(found, ModuleType)
        if is_module and name not in getattr(self.__source, "__all__", ()):
            raise AttributeError(_lacking(full))
        if not is_module:
            self.__dict__[name] = found
        return found

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self.__source)})


def _module(full: str) -> ModuleType:
    """A module as an attribute of the one around it."""
    try:
        return importlib.import_module(full)
    except ModuleNotFoundError as error:
        if error.name != _as_missing(full):
            raise
        raise AttributeError(_lacking(full)) from None


def _as_missing(full: str) -> str:
    """How errors call a module; not by its name, or `from jax import …` would not show them."""
    return f"jitml as {full}"


def _lacking(full: str) -> str:
    return f"jitml, which stands in for JAX here, has no {full}"


class Finder(MetaPathFinder):
    """Finds JAX's modules, and raises ModuleNotFoundError for those that jitml lacks."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in ("jax", "jaxlib"):
            return None
        if fullname not in SOURCES:
            raise ModuleNotFoundError(_lacking(fullname), name=_as_missing(fullname))
        return ModuleSpec(fullname, _Loader(), is_package=True)


class _Loader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        try:
            source = importlib.import_module(SOURCES[spec.name])
        except ModuleNotFoundError as error:
            if error.name != SOURCES[spec.name]:
                raise
            raise ModuleNotFoundError(_lacking(spec.name), name=_as_missing(spec.name)) from None
        return StandIn(spec.name, source)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: names are looked up when they are used."""
