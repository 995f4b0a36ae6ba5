"""Run groups of workloads against every peer that is installed, and say how jitml does.

    python -m benchmarks.suite [--groups rows matmul] [--only NAME] [--rounds 5] [--clock cpu]
                               [--json results.json] [--chart chart.png] [--against REVISION]
    python -m benchmarks.suite --bits

Each library runs in a process of its own; rounds are interleaved, so that a busy machine slows all
alike, and the best round of each counts. A ratio above 1 means that jitml is faster.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.suite import bits, groups, report
from benchmarks.suite.peers import Peer, installed_peers, old_revision
from benchmarks.suite.workload import WORKLOADS, Workload


def chosen(only: list[str], wanted: list[str]) -> list[Workload]:
    """The workloads of the groups, those with one of the texts in their names."""
    return [
        w
        for w in WORKLOADS.values()
        if (not wanted or w.group in wanted) and (not only or any(text in w.name for text in only))
    ]


def measured(workload: Workload, peers: list[Peer], rounds: int, seconds: float) -> report.Row:
    """The best round of each peer."""
    row = report.Row(workload.group, workload.name)
    able = [p for p in peers if p.library in workload.peers]
    for _ in range(rounds):
        for peer in able:
            if peer.name not in row.errors:
                row.add(peer.name, peer.measure(workload.name, seconds))
    return row


def main() -> None:
    """Parse arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--groups", nargs="*", default=[])
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.1, help="of one round")
    parser.add_argument("--clock", choices=["cpu", "wall"], default="cpu")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--chart", type=Path)
    parser.add_argument("--against", metavar="REVISION", help="compare with jitml as it was there")
    parser.add_argument("--torch-compile", action="store_true", help="as one more peer")
    parser.add_argument("--bits", action="store_true", help="compare those of 1 to 8 threads only")
    given = parser.parse_args()
    groups.load()
    workloads = chosen(given.only, given.groups)
    if given.bits:
        for told in bits.lines(workloads):
            print(told, flush=True)
        return
    with old_revision(given.against) as path:
        peers = installed_peers(path, given.torch_compile)
        try:
            rows = []
            for workload in workloads:
                row = measured(workload, peers, given.rounds, given.seconds)
                print(report.line(row, [p.name for p in peers], given.clock), flush=True)
                rows.append(row)
        finally:
            for peer in peers:
                peer.close()
    print(report.summary(rows, given.clock))
    if given.json:
        given.json.write_text(json.dumps([row.as_data() for row in rows], indent=1), "utf-8")
    if given.chart:
        report.draw(rows, given.clock, given.chart)


if __name__ == "__main__":
    main()
