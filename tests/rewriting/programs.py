# ruff: noqa: SIM108 (plain Python as people write it)
"""Functions in plain Python, as a textbook has them; none knows of jitml but for arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import jitml.numpy as jnp


def collatz(n: int) -> int:
    steps = 0
    while n != 1:
        if n % 2 == 0:
            n = n // 2
        else:
            n = 3 * n + 1
        steps += 1
    return steps


def bisection(target: float) -> float:
    low, high = 0.0, 4.0
    while high - low > 1e-5:
        middle = (low + high) / 2
        if middle * middle > target:
            high = middle
        else:
            low = middle
    return low


def newton(a: float) -> float:
    x = a
    for _ in range(50):
        following = 0.5 * (x + a / x)
        if abs(following - x) < 1e-6:
            break
        x = following
    return x


def gcd(a: int, b: int) -> int:
    while b:
        a, b = b, a % b
    return a


def insertion_sort(a: Any) -> Any:
    for i in range(1, len(a)):
        key = a[i]
        j = i - 1
        while j >= 0 and a[j] > key:
            a = a.at[j + 1].set(a[j])
            j -= 1
        a = a.at[j + 1].set(key)
    return a


def bubble_sort(a: Any) -> Any:
    n = len(a)
    while True:
        swapped = False
        for i in range(n - 1):
            if a[i] > a[i + 1]:
                left, right = a[i], a[i + 1]
                a = a.at[i].set(right).at[i + 1].set(left)
                swapped = True
        if not swapped:
            return a


def pair_with_sum(a: Any, total: int) -> tuple[Any, Any]:
    for i in range(len(a)):
        for j in range(i + 1, len(a)):
            if a[i] + a[j] == total:
                return i, j
    return -1, -1


def game_of_life(board: Any) -> Any:
    rows, columns = board.shape
    following = jnp.zeros_like(board)
    for r in range(rows):
        for c in range(columns):
            around = 0
            for dr in (-1, 0, 1):
                for dc in (-1, 0, 1):
                    if dr == 0 and dc == 0:
                        continue
                    around += board[(r + dr) % rows, (c + dc) % columns]
            if (board[r, c] == 1 and (around == 2 or around == 3)) or (
                board[r, c] == 0 and around == 3
            ):
                following = following.at[r, c].set(1)
    return following


def fizzbuzz_sum(n: int) -> int:
    total = 0
    for i in range(1, n + 1):
        if i % 15 == 0:
            continue
        elif i % 3 == 0 or i % 5 == 0:
            total += i
    return total


def binary_search(a: Any, x: float) -> int:
    low, high = 0, len(a) - 1
    while low <= high:
        middle = (low + high) // 2
        if a[middle] == x:
            return middle
        if a[middle] < x:
            low = middle + 1
        else:
            high = middle - 1
    return -1


def mandelbrot(c: complex) -> int:
    z = 0j
    for k in range(40):
        if abs(z) > 2:
            return k
        z = z * z + c
    return 40


def count_primes(n: int) -> int:
    count = 0
    for candidate in range(2, n):
        divisor = 2
        while divisor * divisor <= candidate:
            if candidate % divisor == 0:
                break
            divisor += 1
        else:
            count += 1
    return count


def power(x: float, n: int) -> float:
    result = 1.0
    while n > 0:
        if n & 1:
            result = result * x
        x = x * x
        n >>= 1
    return result


def horner(coefficients: Any, x: float) -> float:
    value = 0.0
    for c in coefficients:
        value = value * x + c
    return value if value > 0 else -value


def fixed_point(x: float) -> float:
    previous, steps = x + 1, 0
    while abs(x - previous) > 1e-6 and steps < 200:
        previous = x
        x = jnp.cos(x)
        steps += 1
    return x


def edit_distance(a: Any, b: Any) -> Any:
    row = jnp.arange(len(b) + 1)
    for i in range(len(a)):
        diagonal, row = row[0], row.at[0].set(i + 1)
        for j in range(len(b)):
            above = row[j + 1]
            cost = diagonal if a[i] == b[j] else 1 + min(diagonal, above, row[j])
            diagonal, row = above, row.at[j + 1].set(cost)
    return row[len(b)]


def falling_ball(height: float, bounce: float) -> float:
    speed, time = 0.0, 0.0
    for _ in range(100):
        speed = speed - 0.098
        height = height + 0.01 * speed
        if height < 0:
            height, speed = -height, -bounce * speed
        time += 0.01
        if time > 0.5 and height < 0.1:
            break
    return height


def piecewise(x: float) -> float:
    return x * x if x < 1 else 2 * x - 1 if x < 3 else 5.0


def sign_name(x: float) -> int:
    if x > 0:
        return 1
    elif x < 0:
        return -1
    return 0


def nested_functions(x: float) -> float:
    def scaled(y: float) -> float:
        if y > limit:
            return limit
        return factor * y

    limit, factor = 3.0, 2.0
    if x > 1:
        factor = 4.0
    return scaled(x) + scaled(-x)


def digits(n: int) -> int:
    count = 0
    while True:
        n //= 10
        count += 1
        if n == 0:
            break
    return count


def first_multiple(n: int, start: int) -> int:
    for candidate in range(start, start + 30):
        if candidate % n == 0:
            found = candidate
            break
    else:
        found = -1
    return found


def halved_until_odd(n: int) -> tuple[int, int]:
    times = 0
    while n % 2 == 0 and times < 20:
        n //= 2
        times += 1
    else:
        times += 100
    return n, times


def sum_of_odds(a: Any) -> Any:
    total = 0
    for x in a:
        if x % 2 == 0:
            continue
        total += x
    return total


def skipping(n: int) -> int:
    total: int = 0
    for i in range(n):
        if i % 2 == 1:
            kind: int
            if i % 3 == 0:
                continue
            kind = 100
            total += kind
        if i == 9:
            continue
        total += i
    return total


def in_band(x: float, low: float, high: float) -> float:
    if low < x <= high:
        return x
    if not (x > low) or x == high + 1:
        return low
    return high


def short_circuit(a: Any, i: int) -> float:
    if i < len(a) and a[i] > 0:
        return a[i]
    if i >= 2 * len(a) or a[i - len(a)] < 0:
        return -1.0
    return 0.0


def fibonacci(n: int) -> int:
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


def statistics(a: Any) -> dict[str, Any]:
    found = {"low": a[0], "high": a[0], "ups": 0}
    for k in range(1, len(a)):
        if a[k] < found["low"]:
            found["low"] = a[k]
        elif a[k] > found["high"]:
            found["high"] = a[k]
            found["ups"] += 1
    return found


def walrus(x: float) -> float:
    while (half := x / 2) > 1:
        x = half
    return x + half


def matched(kind: int, x: float) -> float:
    match kind:
        case 0:
            return x
        case 1 | 2:
            y = 2 * x
        case n if n > 10:
            y = x / 10
        case _:
            y = -x
    return y + 1


def runge_kutta(y: float, end: float) -> float:
    t, h = 0.0, 0.1
    while t < end:
        if t + h > end:
            h = end - t
        k1 = -y * t
        k2 = -(y + h / 2 * k1) * (t + h / 2)
        y, t = y + h * k2, t + h
    return y


def rotated(points: list[float], turns: int) -> list[float]:
    a, b, c = points
    for _ in range(turns):
        a, b, c = c, a, b
    return [a, b, c]


def cumulative_maximum(a: Any) -> Any:
    best = a[0]
    for k, x in enumerate(a):
        best = max(best, x)
        a = a.at[k].set(best)
    return a


def leap_years(first: int, last: int) -> int:
    count = 0
    for year in range(first, last, 1):
        if (year % 4 == 0 and year % 100 != 0) or year % 400 == 0:
            count = count + 1
    return count


def countdown(n: int, step: int) -> int:
    total = 0
    for i in range(n, 0, -step):
        total += i
    return total


class Program(NamedTuple):
    """A function, arguments to try it on, and of how many of the first its result is smooth."""

    function: Callable[..., Any]
    arguments: list[tuple[Any, ...]]
    smooth: int = 0


_BOARD = np.zeros((5, 5), np.int32)
_BOARD[2, 1:4] = 1
_VALUES = np.array([3.0, -1.0, 2.5, 7.0, 0.5], np.float32)

PROGRAMS = [
    Program(collatz, [(1,), (6,), (27,)]),
    Program(bisection, [(2.0,), (3.5,)]),
    Program(newton, [(2.0,), (5.0,)], 1),
    Program(gcd, [(48, 36), (7, 5), (9, 0)]),
    Program(insertion_sort, [(_VALUES,)]),
    Program(bubble_sort, [(_VALUES,)]),
    Program(pair_with_sum, [(np.array([5, 3, 8, 1]), 9), (np.array([5, 3, 8, 1]), 99)]),
    Program(game_of_life, [(_BOARD,)]),
    Program(fizzbuzz_sum, [(0,), (31,)]),
    Program(binary_search, [(np.sort(_VALUES), 2.5), (np.sort(_VALUES), 2.6)]),
    Program(mandelbrot, [(1 + 1j,), (0.1 + 0.1j,), (-0.75 + 0.2j,)]),
    Program(count_primes, [(2,), (30,)]),
    Program(power, [(1.5, 0), (1.5, 1), (1.5, 13)], 1),
    Program(horner, [(_VALUES, 0.5), (_VALUES, -1.5)], 2),
    Program(fixed_point, [(0.3,), (0.739085,)]),
    Program(edit_distance, [(np.array([1, 2, 3, 4]), np.array([2, 3, 5]))]),
    Program(falling_ball, [(1.0, 0.8), (0.3, 0.5)], 2),
    Program(piecewise, [(0.5,), (2.0,), (4.0,)], 1),
    Program(sign_name, [(2.0,), (-2.0,), (0.0,)]),
    Program(nested_functions, [(0.5,), (1.25,), (9.0,)], 1),
    Program(digits, [(0,), (9,), (1234,)]),
    Program(first_multiple, [(7, 15), (31, 63)]),
    Program(halved_until_odd, [(48,), (5,)]),
    Program(sum_of_odds, [(np.array([1, 2, 3, 4, 5]),), (np.arange(100),)]),
    Program(skipping, [(0,), (5,), (14,)]),
    Program(in_band, [(0.5, 0.0, 1.0), (1.0, 0.0, 1.0), (-1.0, 0.0, 1.0), (2.0, 0.0, 1.0)], 1),
    Program(short_circuit, [(_VALUES, 0), (_VALUES, 1), (_VALUES, 6), (_VALUES, 50)]),
    Program(fibonacci, [(0,), (1,), (20,)]),
    Program(statistics, [(_VALUES,)]),
    Program(walrus, [(1.0,), (37.0,)], 1),
    Program(matched, [(0, 1.5), (2, 1.5), (11, 1.5), (5, 1.5)]),
    Program(runge_kutta, [(1.0, 0.05), (2.0, 1.23)], 1),
    Program(rotated, [([1.0, 2.0, 3.0], 4)]),
    Program(cumulative_maximum, [(_VALUES,)]),
    Program(leap_years, [(1890, 1910), (1999, 2021), (5, 5)]),
    Program(countdown, [(10, 3), (7, 1), (0, 2)]),
]
