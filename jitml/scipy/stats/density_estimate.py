"""Densities estimated from samples, by a normal distribution around each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jitml.numpy as jnp
from jitml import random
from jitml.ir.errors import ArgumentError, ShapeError
from jitml.numpy.operands import fail, promoted, settle
from jitml.scipy import special
from jitml.scipy.linalg import solve_triangular
from jitml.scipy.stats import multivariate_normal
from jitml.tree_util import register_pytree_node_class
from jitml.typing import Array, ArrayLike, Shape

__all__ = ["gaussian_kde"]


@register_pytree_node_class
class gaussian_kde:
    """The density of samples `dataset`: [dimensions, n], or [n] in one dimension.

    `bw_method` is "scott", "silverman", a factor, or a function of the estimate that gives one.

    >>> print(gaussian_kde(jnp.array([0.0, 1.0]))(0.5))
    [0.46598002]
    """

    dataset: Array
    weights: Array
    neff: Array
    covariance: Array
    inv_cov: Array

    def __init__(
        self,
        dataset: ArrayLike,
        bw_method: str | float | Callable[[Any], Any] | None = None,
        weights: ArrayLike | None = None,
    ) -> None:
        given = [dataset] if weights is None else [dataset, weights]
        points, *own = (
            jnp.asarray(settle(x)) for x in promoted("gaussian_kde", *given, to_inexact=True)
        )
        self.dataset = jnp.atleast_2d(points)
        if jnp.iscomplexobj(self.dataset) or self.dataset.size < 2:
            fail(ArgumentError, "gaussian_kde: a dataset has two real numbers or more")
        self.weights = self._shares(*own)
        self.neff = 1 / jnp.sum(self.weights**2)
        spread = jnp.atleast_2d(jnp.cov(self.dataset, aweights=self.weights))
        factor = self._factor(bw_method)
        self.covariance = spread * factor**2
        self.inv_cov = jnp.linalg.inv(spread) / factor**2

    def _shares(self, weights: Array | None = None) -> Array:
        if weights is None:
            return jnp.full(self.n, 1 / self.n, self.dataset.dtype)
        if weights.shape != (self.n,):
            fail(
                ShapeError,
                f"gaussian_kde: weights of shape {weights.shape} for {self.n} samples",
            )
        return weights / jnp.sum(weights)

    def _factor(self, method: Any) -> Any:
        if method is None or isinstance(method, str):
            scale = {None: 1.0, "scott": 1.0, "silverman": (self.d + 2) / 4}.get(method)
            if scale is not None:
                return (self.neff * scale) ** (-1 / (self.d + 4))
        elif callable(method):
            return method(self)
        elif jnp.ndim(method) == 0:
            return method
        fail(
            ArgumentError,
            f"gaussian_kde: bw_method {method!r} is not known",
            "it is 'scott', 'silverman', a number, or a function",
        )

    def tree_flatten(self) -> tuple[tuple[Any, ...], None]:
        return (self.neff, self.dataset, self.weights, self.covariance, self.inv_cov), None

    @classmethod
    def tree_unflatten(cls, _: None, children: Any) -> gaussian_kde:
        estimate = cls.__new__(cls)
        names = ("neff", "dataset", "weights", "covariance", "inv_cov")
        for name, child in zip(names, children, strict=True):
            setattr(estimate, name, child)
        return estimate

    @property
    def d(self) -> int:
        """How many dimensions the samples have."""
        return int(self.dataset.shape[0])

    @property
    def n(self) -> int:
        """How many samples there are."""
        return int(self.dataset.shape[1])

    def __call__(self, points: ArrayLike) -> Array:
        return self.evaluate(points)

    def pdf(self, x: ArrayLike) -> Array:
        """The density at points: [dimensions, m] → [m]."""
        return self.evaluate(x)

    def evaluate(self, points: ArrayLike) -> Array:
        """The density at points: [dimensions, m] → [m]."""
        return jnp.sum(self.weights * jnp.exp(self._log_kernels(points)), -1)

    def logpdf(self, x: ArrayLike) -> Array:
        """The logarithm of the density at points: [dimensions, m] → [m]."""
        return special.logsumexp(jnp.log(self.weights) + self._log_kernels(x), -1)

    def _log_kernels(self, points: ArrayLike) -> Array:
        """The logarithm of each sample's density at each point: [m, n]."""
        at = self._points(points)
        whitening = jnp.linalg.cholesky(self.inv_cov)
        apart = (at.T @ whitening)[:, None, :] - (self.dataset.T @ whitening)[None, :, :]
        norm = jnp.sum(jnp.log(jnp.diagonal(whitening))) - self.d / 2 * math.log(2 * math.pi)
        return norm - jnp.sum(apart * apart, -1) / 2

    def _points(self, points: ArrayLike) -> Array:
        at = jnp.atleast_2d(jnp.asarray(points).astype(self.dataset.dtype))
        if at.shape[0] != self.d and at.shape == (1, self.d):
            at = jnp.reshape(at, (self.d, 1))
        if at.shape[0] != self.d:
            fail(
                ShapeError,
                f"gaussian_kde: points of {at.shape[0]} dimensions, the dataset has {self.d}",
            )
        return at

    def integrate_gaussian(self, mean: ArrayLike, cov: ArrayLike) -> Array:
        """The integral of the density times a normal one."""
        centre, spread = jnp.atleast_1d(jnp.squeeze(jnp.asarray(mean))), jnp.atleast_2d(cov)
        if centre.shape != (self.d,) or spread.shape != (self.d, self.d):
            fail(
                ShapeError,
                f"gaussian_kde: a mean of shape {centre.shape} and a covariance of shape "
                f"{spread.shape} in {self.d} dimensions",
            )
        laws = multivariate_normal.pdf(self.dataset.T, centre, self.covariance + spread)
        return jnp.sum(laws * self.weights)

    def integrate_box_1d(self, low: ArrayLike, high: ArrayLike) -> Array:
        """The integral of a density in one dimension between two bounds."""
        if self.d != 1 or jnp.ndim(low) or jnp.ndim(high):
            fail(
                ArgumentError,
                "gaussian_kde: integrate_box_1d takes two numbers, in one dimension",
            )
        deviation = jnp.sqrt(self.covariance[0, 0])
        ends = (special.ndtr((end - self.dataset[0]) / deviation) for end in (high, low))
        upper, lower = ends
        return jnp.sum(self.weights * (upper - lower))

    def integrate_kde(self, other: gaussian_kde) -> Array:
        """The integral of the product of two densities."""
        if other.d != self.d:
            fail(ShapeError, f"gaussian_kde: {other.d} dimensions, not {self.d}")
        factor = jnp.linalg.cholesky(self.covariance + other.covariance)
        apart = self.dataset.T[:, None, :] - other.dataset.T[None, :, :]
        flat = jnp.reshape(apart, (-1, self.d)).T
        scaled = solve_triangular(factor, flat, lower=True)
        size = jnp.sum(jnp.log(jnp.diagonal(factor))) + self.d / 2 * math.log(2 * math.pi)
        laws = jnp.exp(jnp.sum(scaled * scaled, 0) / -2 - size)
        return self.weights @ jnp.reshape(laws, (self.n, other.n)) @ other.weights

    def resample(self, key: Any, shape: Shape = ()) -> Array:
        """New samples: [dimensions, *shape]."""
        which, how = random.split(key)
        chosen = random.choice(which, self.n, shape, p=self.weights)
        centre = jnp.zeros(self.d, self.covariance.dtype)
        noise = random.multivariate_normal(how, centre, self.covariance, shape, self.dataset.dtype)
        return jnp.take(self.dataset, chosen, 1) + jnp.moveaxis(noise, -1, 0)

    def integrate_box(self, low_bounds: Any, high_bounds: Any, maxpts: Any = None) -> Array:
        """Not supported."""
        fail(
            ArgumentError,
            "gaussian_kde: integrate_box is not supported",
            "in one dimension integrate_box_1d serves",
        )

    def set_bandwidth(self, bw_method: Any = None) -> None:
        """Not supported."""
        fail(
            ArgumentError,
            "gaussian_kde: set_bandwidth is not supported, arrays never change",
            "make a new estimate with bw_method",
        )
