"""Times as ratios: a line for each workload, geometric means for the groups, a chart.

In: the rounds of each library. Out: text, data, a picture. The best round of each library counts;
whether one is slower than JAX by more than JAX's rounds differ is told by medians.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

WORST = 10


class Row:
    """What was measured of one workload: the best CPU and wall time of each library."""

    def __init__(self, group: str, name: str) -> None:
        self.group = group
        self.name = name
        self.best: dict[str, dict[str, float]] = {}
        self.rounds: dict[str, list[dict[str, float]]] = {}
        self.errors: dict[str, str] = {}

    def add(self, peer: str, answer: dict[str, Any]) -> None:
        """Note one round."""
        if "error" in answer:
            self.errors[peer] = answer["error"]
            self.best.pop(peer, None)
            return
        self.rounds.setdefault(peer, []).append(answer)
        best = self.best.setdefault(peer, dict(answer))
        for clock, seconds in answer.items():
            best[clock] = min(best[clock], seconds)

    def ratio(self, peer: str, clock: str) -> float | None:
        """How often jitml's time goes into that of another."""
        if peer not in self.best or "jitml" not in self.best:
            return None
        return self.best[peer][clock] / max(self.best["jitml"][clock], 1e-12)

    def against_best(self, clock: str) -> float | None:
        """The ratio to the fastest of the others."""
        found = [self.ratio(p, clock) for p in self.best if p not in ("jitml", "before")]
        return min((r for r in found if r is not None), default=None)

    def share_of_peak(self) -> tuple[float, str] | None:
        """How much of what the machine can do is done, by wall time, and what bounds it."""
        own = self.best.get("jitml", {})
        bounds = [
            (own[kind] / own["wall"], kind) for kind in ("memory", "arithmetic") if kind in own
        ]
        return max(bounds, default=None)

    def is_behind_jax(self, clock: str) -> bool:
        """Whether jitml's median round is slower than three quarters of JAX's."""
        own, jax = ([r[clock] for r in self.rounds.get(name, [])] for name in ("jitml", "jax"))
        if not own or len(jax) < 2:
            return False
        return statistics.median(own) > statistics.quantiles(jax, n=4, method="inclusive")[2]

    def as_data(self) -> dict[str, Any]:
        """What is kept of it."""
        return {
            "group": self.group, "name": self.name, "seconds": self.best, "rounds": self.rounds,
            "errors": self.errors,
        }  # fmt: skip


def line(row: Row, peers: Sequence[str], clock: str) -> str:
    """jitml's time, how much of the machine's speed that is, and the ratios."""
    own = row.best.get("jitml")
    time = "error" if own is None else _time(own[clock])
    share = row.share_of_peak()
    of_peak = "" if share is None else f"{share[0]:.0%} of {share[1]}"
    cells = [f"{row.group:<12}{row.name:<38}{time:>10}  {of_peak:<18}"]
    for peer in peers:
        if peer != "jitml":
            ratio = row.ratio(peer, clock)
            text = "error" if peer in row.errors else "" if ratio is None else f"{ratio:.2f}"
            cells.append(f"{peer} {text:>7}" if text else " " * (len(peer) + 8))
    problem = f"   {row.errors['jitml']}" if "jitml" in row.errors else ""
    return "  ".join(cells) + problem


def _time(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def geometric_mean(ratios: Iterable[float | None]) -> float:
    """Of those that are known; nan if none is."""
    logs = [math.log(r) for r in ratios if r is not None]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def summary(rows: Sequence[Row], clock: str) -> str:
    """Geometric means by group, and the workloads that do worst."""
    lines = [
        "",
        f"{'group':<14}{'count':>6}{'vs jax':>10}{'vs best':>10}{'faster':>9}{'of peak':>9}",
    ]
    groups = list(dict.fromkeys(row.group for row in rows))
    for group in [*groups, "all"]:
        of_group = [row for row in rows if group in (row.group, "all")]
        best = [r for r in (row.against_best(clock) for row in of_group) if r is not None]
        share = sum(r > 1 for r in best) / len(best) if best else math.nan
        peak = geometric_mean(s[0] for row in of_group if (s := row.share_of_peak()) is not None)
        told = "" if math.isnan(peak) else f"{peak:.0%}"
        against_jax = geometric_mean(row.ratio("jax", clock) for row in of_group)
        lines.append(
            f"{group:<14}{len(of_group):>6}{against_jax:>10.2f}"
            f"{geometric_mean(best):>10.2f}{share:>9.0%}{told:>9}"
        )
    for title, ratio in (
        ("JAX", lambda row: row.ratio("jax", clock)),
        ("the best", lambda row: row.against_best(clock)),
    ):
        known = [(r, row.name) for row in rows if (r := ratio(row)) is not None]
        lines += ["", f"the worst against {title}:"]
        lines += [f"  {r:6.2f}  {name}" for r, name in sorted(known)[:WORST]]
    behind = [row.name for row in rows if row.is_behind_jax(clock)]
    lines += ["", f"slower than JAX by more than its own rounds differ (medians): {len(behind)}"]
    lines += [f"  {name}" for name in behind]
    if any("before" in row.best for row in rows):
        before = [(r, row.name) for row in rows if (r := row.ratio("before", clock)) is not None]
        lines += ["", f"against the old revision: {geometric_mean(r for r, _ in before):.2f}"]
        lines += [f"  {r:6.2f}  {name}" for r, name in sorted(before)[:WORST]]
    return "\n".join(lines)


def draw(rows: Sequence[Row], clock: str, path: Path) -> None:
    """A bar for each workload: the ratio to JAX, on a logarithmic scale."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    known = [(row, r) for row in rows if (r := row.ratio("jax", clock)) is not None]
    figure, axes = plt.subplots(figsize=(9, 1 + 0.18 * len(known)), layout="constrained")
    colours = {g: f"C{n % 10}" for n, g in enumerate(dict.fromkeys(row.group for row in rows))}
    axes.barh(
        [row.name for row, _ in known],
        [r - 1 for _, r in known],
        left=1,
        color=[colours[row.group] for row, _ in known],
    )
    axes.set_xscale("log")
    axes.axvline(1, color="black")
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=6)
    axes.set_xlabel(f"JAX's {clock} time over jitml's")
    figure.savefig(path, dpi=120)
    plt.close(figure)
