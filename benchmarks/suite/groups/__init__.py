"""The groups of workloads, a module each."""

from __future__ import annotations

import importlib
import pkgutil


def load() -> None:
    """Import all of them, in alphabetical order."""
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
        importlib.import_module(f"{__name__}.{module.name}")
