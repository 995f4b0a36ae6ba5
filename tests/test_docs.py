"""The examples in the docstrings of the public surface run and print what they say."""

from __future__ import annotations

import doctest
import importlib
import inspect

import pytest

MODULES = [
    "jitml",
    "jitml.as_jax",
    "jitml.as_jax.mesh_utils",
    "jitml.as_jax.shard_map",
    "jitml.callbacks",
    "jitml.checkify",
    "jitml.checkpoints",
    "jitml.config",
    "jitml.core",
    "jitml.debug",
    "jitml.display.live",
    "jitml.display.trees",
    "jitml.dlpack",
    "jitml.dtypes",
    "jitml.exported",
    "jitml.ffi",
    "jitml.flatten_util",
    "jitml.forward_backward",
    "jitml.hardware",
    "jitml.transfers",
    "jitml.image",
    "jitml.lax.contraction",
    "jitml.lax.control_flow",
    "jitml.lax.conversion",
    "jitml.lax.elementwise",
    "jitml.lax.fourier",
    "jitml.lax.generators",
    "jitml.lax.indexing",
    "jitml.lax.linalg",
    "jitml.lax.mapping",
    "jitml.lax.movement",
    "jitml.lax.options",
    "jitml.lax.patches",
    "jitml.lax.ragged",
    "jitml.lax.reduction",
    "jitml.lax.scaled",
    "jitml.lax.shapes",
    "jitml.lax.staging",
    "jitml.lax.special",
    "jitml.nn.activations",
    "jitml.nn.attention",
    "jitml.nn.initializers",
    "jitml.nn.scaled",
    "jitml.numpy.arithmetic",
    "jitml.numpy.at",
    "jitml.numpy.bessel",
    "jitml.numpy.bits",
    "jitml.numpy.choice",
    "jitml.numpy.classification",
    "jitml.numpy.comparison",
    "jitml.numpy.correlation",
    "jitml.numpy.creation",
    "jitml.numpy.cumulative",
    "jitml.numpy.editing",
    "jitml.numpy.elementwise",
    "jitml.numpy.extremes",
    "jitml.numpy.fft",
    "jitml.numpy.files",
    "jitml.numpy.filters",
    "jitml.numpy.floats",
    "jitml.numpy.functional",
    "jitml.numpy.histograms",
    "jitml.numpy.index_tables",
    "jitml.numpy.index_tricks",
    "jitml.numpy.indexing",
    "jitml.numpy.joining",
    "jitml.numpy.linalg.decompositions",
    "jitml.numpy.linalg.norms",
    "jitml.numpy.linalg.products",
    "jitml.numpy.linalg.solving",
    "jitml.numpy.linear_algebra",
    "jitml.numpy.logic",
    "jitml.numpy.manipulation",
    "jitml.numpy.matrices",
    "jitml.numpy.nan_reductions",
    "jitml.numpy.padding",
    "jitml.numpy.polynomials",
    "jitml.numpy.positions",
    "jitml.numpy.quantiles",
    "jitml.numpy.ranges",
    "jitml.numpy.reductions",
    "jitml.numpy.repeating",
    "jitml.numpy.rounding",
    "jitml.numpy.search",
    "jitml.numpy.selection",
    "jitml.numpy.sets",
    "jitml.numpy.sorting",
    "jitml.numpy.statistics",
    "jitml.numpy.summation",
    "jitml.numpy.text",
    "jitml.numpy.types",
    "jitml.numpy.ufuncs",
    "jitml.numpy.windows",
    "jitml.optim.clipping",
    "jitml.optim.optimizers",
    "jitml.optim.schedules",
    "jitml.random",
    "jitml.segments",
    "jitml.shard_mapping",
    "jitml.sharding",
    "jitml.random.choices",
    "jitml.random.counts",
    "jitml.random.distributions",
    "jitml.random.gamma",
    "jitml.random.keys",
    "jitml.scipy.fft",
    "jitml.scipy.integrate",
    "jitml.scipy.interpolate",
    "jitml.random.vectors",
    "jitml.scipy.linalg.constructors",
    "jitml.scipy.linalg.decompositions",
    "jitml.scipy.linalg.functions",
    "jitml.scipy.linalg.solving",
    "jitml.scipy.ndimage",
    "jitml.scipy.optimize.minimization",
    "jitml.scipy.signal.convolution",
    "jitml.scipy.signal.spectra",
    "jitml.scipy.signal.trends",
    "jitml.scipy.special.elementary",
    "jitml.scipy.special.gamma_functions",
    "jitml.scipy.special.harmonics",
    "jitml.scipy.special.integrals",
    "jitml.scipy.stats.bernoulli",
    "jitml.scipy.stats.beta",
    "jitml.scipy.stats.betabinom",
    "jitml.scipy.stats.binom",
    "jitml.scipy.stats.cauchy",
    "jitml.scipy.stats.chi2",
    "jitml.scipy.stats.density_estimate",
    "jitml.scipy.stats.dirichlet",
    "jitml.scipy.stats.expon",
    "jitml.scipy.stats.gamma",
    "jitml.scipy.stats.gennorm",
    "jitml.scipy.stats.geom",
    "jitml.scipy.stats.gumbel_l",
    "jitml.scipy.stats.gumbel_r",
    "jitml.scipy.stats.laplace",
    "jitml.scipy.stats.logistic",
    "jitml.scipy.stats.multinomial",
    "jitml.scipy.stats.multivariate_normal",
    "jitml.scipy.stats.nbinom",
    "jitml.scipy.stats.norm",
    "jitml.scipy.stats.pareto",
    "jitml.scipy.stats.poisson",
    "jitml.scipy.stats.summaries",
    "jitml.scipy.stats.t",
    "jitml.scipy.stats.truncnorm",
    "jitml.scipy.stats.uniform",
    "jitml.scipy.stats.vonmises",
    "jitml.scipy.stats.wrapcauchy",
    "jitml.scopes",
    "jitml.test_util",
    "jitml.tree",
    "jitml.tree_util",
    "jitml.visualization",
]

# Where functions that are stated as rows get their code.
ROWS = ("jitml.lax.operands", "jitml.numpy.rows", "jitml.scipy.special.operands")


def _tests(module):
    """Doctests of what a module defines, functions made by a table of its rows too."""
    finder, seen = doctest.DocTestFinder(), set()
    for name, value in list(vars(module).items()):
        is_named_so = getattr(value, "__name__", "") == name and callable(value)
        if not is_named_so or not getattr(value, "__doc__", None) or id(value) in seen:
            continue
        seen.add(id(value))
        home = getattr(inspect.unwrap(value), "__globals__", {}).get("__name__", value.__module__)
        if home == module.__name__ or (home in ROWS and ">>>" in value.__doc__):
            names = {**_public_names(module), **vars(module)}
            yield from finder.find(value, name, module=False, globs=names)


def _public_names(module):
    """What a star import of the module's package gives: examples use its functions by name."""
    package = importlib.import_module(module.__name__.rpartition(".")[0] or "jitml")
    return {name: getattr(package, name) for name in package.__all__}


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    if name == "jitml.ffi":
        pytest.importorskip("numba")
    if name == "jitml.checkpoints":
        pytest.importorskip("safetensors")
    module = importlib.import_module(name)
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    runner, count = doctest.DocTestRunner(optionflags=flags), 0
    for test in _tests(module):
        if test.examples:
            count += 1
            runner.run(test)
    assert runner.failures == 0, f"{runner.failures} examples of {name} failed"
    assert count or name == "jitml.random"


@pytest.mark.parametrize("name", ["numpy", "lax", "nn", "random"])
def test_every_public_function_has_an_example(name):
    module = importlib.import_module(f"jitml.{name}")
    missing = [
        public
        for public in module.__all__
        if callable(value := getattr(module, public))
        and getattr(value, "__module__", "").startswith("jitml")
        and type(value).__name__ == "function"
        and ">>>" not in (value.__doc__ or "")
    ]
    assert not missing
