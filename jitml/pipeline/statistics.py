"""What this process has compiled, and what it has found compiled."""

from __future__ import annotations


class Statistics:
    """Kernels and programs compiled, seconds spent on machine code, how many of both were found on
    disk instead, and how many programs got better kernels since they ran long.
    """

    def __init__(self) -> None:
        self.kernels = 0
        self.graphs = 0
        self.seconds = 0.0
        self.kernels_found = 0
        self.graphs_found = 0
        self.graphs_upgraded = 0


STATISTICS = Statistics()
