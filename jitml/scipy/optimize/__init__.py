"""Minima of functions: the names and signatures of `jax.scipy.optimize`."""

from __future__ import annotations

from jitml.scipy.optimize.minimization import OptimizeResults, minimize

__all__ = ["OptimizeResults", "minimize"]
