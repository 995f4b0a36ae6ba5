"""The kernel of `panel_qr`: Householder reflections of a few columns, row by row.

Comes in: the equation. Goes out: the text of its kernel and how it is called. One matrix is copied
to the scratch memory, its rows padded to whole vectors; each step goes through it once: it applies
a reflection to all columns, and sums up what the next one has to know. Sums run down the rows in
order, so bits depend on sizes alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from jitml.codegen.emit import KernelText
from jitml.codegen.special import Element, Function, chunk_grain
from jitml.codegen.target import Target
from jitml.ir.graph import Eqn
from jitml.ops.linalg.panel import PanelQr
from jitml.scalar.value import BITS, Value, bitcast, convert, copysign, fma, maximum, select, sqrt

_VECTORS = 4  # of a row that are worked on at once
_EXPONENT = {"f32": 0x7F800000, "f64": 0x7FF0000000000000}
_LEAST = {"f32": 0x00800000, "f64": 0x0010000000000000}  # the smallest normal number
# Squared lengths of columns between these lose nothing; others are scaled first.
_RANGE = {"f32": (2.0**-40, 2.0**80), "f64": (2.0**-320, 2.0**640)}
_FLOPS_PER_NS = 16


def panel_kernel(eqn: Eqn, target: Target) -> KernelText:
    """The kernel; a unit is one matrix."""
    op, type_ = eqn.op, eqn.outputs[0].type
    assert isinstance(op, PanelQr)
    *batch, m, n = type_.shape
    units, cost = math.prod(batch), 2 * m * n * n + 100 * n
    row = eqn.inputs[0].type.shape[-1]
    f = Function(4, (m, n, row, op.first * row, (op.first + m) * row))
    panel = _Panel(f, Element(type_).storage, target, m, n)
    f.each(f.begin, f.end, panel.write)
    grain = chunk_grain(units, units * cost)
    work_ns = units * cost // _FLOPS_PER_NS
    return KernelText(f.text(target), f.sizes, units, grain, panel.scratch_bytes, work_ns)


class _Panel:
    """Writes the factorisation of one matrix; attributes are where its parts lie."""

    def __init__(self, f: Function, type_: str, target: Target, m: int, n: int) -> None:
        self.f, self.emit, self.type = f, f.emit, type_
        size_bytes = BITS[type_] // 8
        self.lanes = target.lanes(size_bytes)
        self.vectors = min(_VECTORS, -(-n // self.lanes))
        together = self.vectors * self.lanes
        columns = -(-n // together) * together
        self.zero = f.number(0)
        self.m, self.n, self.row, self.first, self.source = f.size
        self.columns = f.argument(columns)
        # The panel, the rows of T, then two rows and two columns to work with.
        sizes = (m * columns, n * columns, columns, columns, m, m)
        self.scratch_bytes = sum(sizes) * size_bytes
        self.panel = f.scratch
        self.factor = self._behind(self.panel, self.m * self.columns)
        self.sums = self._behind(self.factor, self.n * self.columns)
        self.change = self._behind(self.sums, self.columns)
        self.reflector = self._behind(self.change, self.columns)
        self.following = self._behind(self.reflector, self.m)

    def write(self, unit: Value) -> None:
        """Factor the matrix number `unit`."""
        f, square = self.f, unit * self.n * self.n
        source, v, r, t = f.pointers
        whole = unit * self.m * self.n
        self._read(self._behind(source, unit * self.source + self.first))
        self._sum_up(self.zero)
        f.each(self.zero, self.n, self._step)
        self._write(self._behind(v, whole), self.m, self.panel, self._reflectors)
        self._write(self._behind(r, square), self.n, self.panel, self._upper)
        self._write(self._behind(t, square), self.n, self.factor, lambda x, i, j: x)

    # ---- elements ----------------------------------------------------------------------------

    def _behind(self, pointer: Value, count: Value) -> Value:
        return self.emit.address(pointer, count, self.type)

    def _at(self, i: Value, j: Value) -> Value:
        return self._behind(self.panel, i * self.columns + j)

    def _load(self, place: Value, lanes: int = 1) -> Value:
        return self.emit.load(place, self.type, lanes)

    def _store(self, place: Value, x: Value) -> None:
        self.emit.store(place, x, self.type)

    def _wide(self, x: Value) -> Value:
        return self.emit.splat(x, self.lanes)

    def _number(self, x: float, lanes: int = 1) -> Value:
        return self.emit.constant(self.type, x, lanes)

    def _places(self, column: Value, lanes: int) -> Value:
        return self.emit.splat(column, lanes) + self.emit.lane_numbers(lanes)

    def _each_vector(self, body: Callable[[Value], None]) -> None:
        self.f.each(self.zero, self.columns, body, self.lanes)

    # ---- in and out --------------------------------------------------------------------------

    def _read(self, source: Value) -> None:
        """The matrix row by row, zeros behind."""
        f, n, lanes = self.f, self.n, self.lanes
        whole = n - n % lanes

        def row(i: Value) -> None:
            def copy(j: Value, count: int) -> None:
                x = self._load(self._behind(source, i * self.row + j), count)
                self._store(self._at(i, j), x)

            zeros = self._number(0.0, lanes)
            f.each(self.zero, whole, lambda j: copy(j, lanes), lanes)
            f.each(whole, self.columns, lambda j: self._store(self._at(i, j), zeros), lanes)
            f.each(whole, n, lambda j: copy(j, 1))

        f.each(self.zero, self.m, row)

    def _write(
        self,
        target: Value,
        rows: Value,
        source: Value,
        chosen: Callable[[Value, Value, Value], Value],
    ) -> None:
        """`chosen(x, i, j)` of the elements of some rows."""
        f, n, lanes = self.f, self.n, self.lanes
        whole = n - n % lanes

        def row(i: Value) -> None:
            def copy(j: Value, count: int) -> None:
                x = self._load(self._behind(source, i * self.columns + j), count)
                x = chosen(x, self.emit.splat(i, count), self._places(j, count))
                self._store(self._behind(target, i * n + j), x)

            f.each(self.zero, whole, lambda j: copy(j, lanes), lanes)
            f.each(whole, n, lambda j: copy(j, 1))

        f.each(self.zero, rows, row)

    def _reflectors(self, x: Value, i: Value, j: Value) -> Value:
        return select(j < i, x, select(j == i, x.like(1.0), x.like(0.0)))

    def _upper(self, x: Value, i: Value, j: Value) -> Value:
        return select(j >= i, x, x.like(0.0))

    # ---- a step ------------------------------------------------------------------------------

    def _sum_up(self, j: Value) -> None:
        """The products of column `j`, below the diagonal, with all columns."""

        def column(c: Value) -> None:
            def row(i: Value, state: list[Value]) -> Sequence[Value]:
                factor = self._wide(self._load(self._at(i, j)))
                return [fma(factor, self._load(self._at(i, c), self.lanes), state[0])]

            start = [self._number(0.0, self.lanes)]
            (total,) = self.emit.loop(j + 1, self.m, 1, start, row)
            self._store(self._behind(self.sums, c), total)

        self._each_vector(column)

    def _step(self, j: Value) -> None:
        """Reflect column `j` to the diagonal, where `sums` are its products with all columns."""
        alpha, below = self._load(self._at(j, j)), self._load(self._behind(self.sums, j))
        least, most = _RANGE[self.type]
        square = fma(alpha, alpha, below)
        is_plain = (square >= least) & (square <= most)
        asked = convert(~is_plain, "i64")
        start = [self._number(1.0), alpha, below]
        scale, alpha, below = self.emit.loop(
            self.zero, asked, 1, start, lambda _, state: self._scaled(j)
        )
        beta = -copysign(sqrt(fma(alpha, alpha, below)), alpha)
        is_flat = below == 0.0
        tau = select(is_flat, self._number(0.0), (beta - alpha) / beta)
        inverse = select(is_flat, self._number(0.0), self._number(1.0) / (alpha - beta))
        self._reflect_row(j, inverse, tau)
        self._store(self._at(j, j), select(is_flat, alpha, beta) * scale)
        self._extend_factor(j, tau)
        self._find_columns(j, inverse)
        self._reflect_rows(j)

    def _scaled(self, j: Value) -> list[Value]:
        """Divide a column by a power of two so that squares are in range; this power, the diagonal
        element and the sum of squares below it.
        """

        def larger(i: Value, state: list[Value]) -> Sequence[Value]:
            return [maximum(state[0], abs(self._load(self._at(i, j))))]

        (most,) = self.emit.loop(j, self.m, 1, [self._number(0.0)], larger)
        integer = f"u{BITS[self.type]}"
        bits = bitcast(most, integer) & _EXPONENT[self.type]
        power = bitcast(select(bits == 0, bits.like(_LEAST[self.type]), bits), self.type)

        def divide(i: Value) -> None:
            self._store(self._at(i, j), self._load(self._at(i, j)) / power)

        self.f.each(j, self.m, divide)
        self._sum_up(j)
        return [power, self._load(self._at(j, j)), self._load(self._behind(self.sums, j))]

    def _reflect_row(self, j: Value, inverse: Value, tau: Value) -> None:
        """Row `j`, where the reflector is 1: what it loses is `change`, and `sums` become the
        products of the reflector with all columns.
        """

        def vector(c: Value) -> None:
            row, place = self._load(self._at(j, c), self.lanes), self._behind(self.sums, c)
            total = fma(self._load(place, self.lanes), self._wide(inverse), row)
            is_behind = self._places(c, self.lanes) > self._wide(j)
            change = select(is_behind, total * self._wide(tau), total.like(0.0))
            self._store(place, total)
            self._store(self._behind(self.change, c), change)
            self._store(self._at(j, c), row - change)

        self._each_vector(vector)

    def _extend_factor(self, j: Value, tau: Value) -> None:
        """Row `j` of T, from the products of its reflector with those before."""
        start = j * self.columns

        def vector(c: Value) -> None:
            def row(k: Value, state: list[Value]) -> Sequence[Value]:
                before = self._load(self._behind(self.factor, k * self.columns + c), self.lanes)
                factor = self._wide(self._load(self._behind(self.sums, k)))
                return [fma(factor, before, state[0])]

            zeros = self._number(0.0, self.lanes)
            (total,) = self.emit.loop(self.zero, j, 1, [zeros], row)
            is_before = self._places(c, self.lanes) < self._wide(j)
            own = select(is_before, -self._wide(tau) * total, zeros)
            self._store(self._behind(self.factor, start + c), own)

        self._each_vector(vector)
        self._store(self._behind(self.factor, start + j), tau)

    def _find_columns(self, j: Value, inverse: Value) -> None:
        """The reflector in place of column `j`, and beside the panel; and the next column as it
        will be.
        """
        last = self.n - 1
        following = select(j < last, j + 1, last)
        change = self._load(self._behind(self.change, following))

        def row(i: Value) -> None:
            x = self._load(self._at(i, j)) * inverse
            other = self._load(self._at(i, following))
            self._store(self._at(i, j), x)
            self._store(self._behind(self.reflector, i), -x)
            self._store(self._behind(self.following, i), fma(-x, change, other))

        self.f.each(j + 1, self.m, row)
        # Its diagonal element is not one of those that are summed up.
        inside = select(j < self.m - 1, j + 1, self.m - 1)
        self._store(self._behind(self.following, inside), self._number(0.0))

    def _reflect_rows(self, j: Value) -> None:
        """Change the rows below `j`, and sum up the products of the next column with all."""
        lanes, steps = self.lanes, [k * self.lanes for k in range(self.vectors)]

        def vectors(c: Value) -> None:
            changes = [self._load(self._behind(self.change, c + k), lanes) for k in steps]

            def row(i: Value, state: list[Value]) -> Sequence[Value]:
                x = self._wide(self._load(self._behind(self.reflector, i)))
                following = self._wide(self._load(self._behind(self.following, i)))
                after = []
                for k, change, total in zip(steps, changes, state, strict=True):
                    new = fma(x, change, self._load(self._at(i, c + k), lanes))
                    self._store(self._at(i, c + k), new)
                    after.append(fma(following, new, total))
                return after

            start = [self._number(0.0, lanes)] * len(steps)
            totals = self.emit.loop(j + 1, self.m, 1, start, row)
            for k, total in zip(steps, totals, strict=True):
                self._store(self._behind(self.sums, c + k), total)

        self.f.each(self.zero, self.columns, vectors, lanes * len(steps))
