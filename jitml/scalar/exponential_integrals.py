"""Exponential, sine and cosine integrals. f32 (through f64) or f64 in, the same type out.

Polynomials, but for E_n: DLMF 8.19.8 (a series) and 8.19.17 (a continued fraction, by Lentz's
algorithm).
"""

from __future__ import annotations

import math

from jitml.scalar.arithmetic import Pair, flip_sign, in_double, polynomial, repeat, sign_bit
from jitml.scalar.exponential import exp
from jitml.scalar.gamma import digamma
from jitml.scalar.gamma_function import gamma
from jitml.scalar.logarithm import log
from jitml.scalar.power import pow
from jitml.scalar.trigonometric import cos, sin
from jitml.scalar.value import Value, floor, fma, routine, select

_EPSILON = 2.0**-54
_MOST_STEPS = 1000.0
_EULER = 0.5772156649015329
# (E₁(x) + log x + γ)/x as a polynomial in x for x ≤ 1, and x·eˣ·E₁(x) as one in (x − 3)/(x + 3) for
# x ≥ 1, minimax for the relative error: 2^-59.7 and 2^-57.0.
_EXP1_NEAR = (
    1.0, -0.2499999999999997, 0.05555555555554111, -0.010416666666399005, 0.0016666666640978945,
    -0.00023148146690030413, 2.8344618586073913e-05, -3.1000729835107894e-06,
    3.0599194547503166e-07, -2.7343863791304286e-08, 2.131010549741295e-09,
    -1.1398166569036703e-10,
)  # fmt: skip
_EXP1_FAR = (
    0.7862512207659554, 0.2900097661276437, -0.12245361089369258, 0.07517090723384226,
    -0.04946286297943726, 0.035509843326626954, -0.026597943704277403, 0.02072411890982753,
    -0.016583359461063804, 0.013579904963224507, -0.011321053183773492, 0.009584359578872869,
    -0.008218020205471454, 0.007123382863924222, -0.00623248961202756, 0.005508720813751208,
    -0.004917206837506438, 0.004372042704725356, -0.003821817140883371, 0.003475170825075203,
    -0.003554601755698288, 0.0035335548720556776, -0.0025273994991142526, 0.0011174796195298558,
    -0.0012073238173093547, 0.003011445413485207, -0.0042639137496969706, 0.003464162033559469,
    -0.0016745205015552126, 0.0004534381102731894, -5.339482086523169e-05,
)  # fmt: skip
# (Ei(x) − log x − γ)/x as a polynomial in x for x ≤ 6: 2^-62.8. x·e⁻ˣ·Ei(x) as polynomials in
# (x − c)/(x + c) for 6 ≤ x ≤ 14 and 14 ≤ x ≤ 40, and in 1/x beyond: 2^-59.2, 2^-52.3, 2^-58.8.
_EXPI_NEAR = (
    1.0, 0.25, 0.05555555555555492, 0.010416666666673917, 0.0016666666666229676,
    0.0002314814816421982, 2.834467080833843e-05, 3.1001990916334965e-06, 3.06191576960417e-07,
    2.7558138400414525e-08, 2.27686337366464e-09, 1.743169689181357e-10, 1.219812058568567e-11,
    8.745742166499413e-13, 3.5402946528606364e-14, 6.450080216112135e-15, -4.355483262060827e-16,
    8.870161850269391e-17, -7.513950220513634e-18, 5.808000689772464e-19, -2.4622902999599737e-20,
    6.428510300852413e-22,
)  # fmt: skip
_EXPI_CENTRES = (9.16515138991168, 23.664319132398465)
_EXPI_MIDDLE = (
    1.1487868819798104, -0.429734832396146, 0.7815413676770838, -0.9642733361717225,
    -0.26052488459801143, 3.6720833702818663, -5.743091027738787, 0.5822598492830492,
    7.313394560888524, -3.8028841609954323, -6.63759627077673, 2.4181418613674186,
    7.492382645387509, 0.8717253585057724, -6.574193290730804, -5.338911114475214,
    2.486600310991488, 6.370180960626302, 2.6646360820569965,
)  # fmt: skip
_EXPI_HIGHER = (
    1.0463806187561169, -0.10237029009346336, 0.1250213967490251, -0.1565300520496481,
    0.20274544457902516, -0.2754823511323211, 0.39820724053609086, -0.6085965416603957,
    0.9312871944309357, -1.2657347021967986, 1.1754591259490421, 0.18690004670872137,
    -3.4402963284848926, 7.389672295227454, -7.99160751494959, 1.2028066717728099,
    8.841081952044979, -8.514312093856521, -0.7524237894561968,
)  # fmt: skip
_EXPI_FAR = (
    1.0, 1.000000000000029, 1.9999999999276457, 6.000000070657127, 23.999964106834838,
    120.01087220111874, 717.8802343178937, 5318.006495566768, 15233.590815413638,
    1928203.3860058768, -62984749.294422284, 1896479978.1725743, -30410710158.25927,
    245824768596.75922,
)  # fmt: skip


# ---- exponential integrals ------------------------------------------------------------------


@routine
@in_double
def expn(n: Value, x: Value) -> Value:
    """E_n(x) for whole n ≥ 0 and x ≥ 0, within 4 ulp in f32."""
    small = x <= 1.0
    series = _expn_series(n, select(small, x, 0.5))
    far = exp(-x) * _expn_fraction(n, select(small, 2.0, x))
    result = select(n == 0.0, exp(-x) / x, select(small, series, far))
    result = select(x == 0.0, select(n > 1.0, 1.0 / (n - 1.0), math.inf), result)
    result = select(x == math.inf, 0.0, result)
    return select((x >= 0.0) & (n >= 0.0) & (n == floor(n)), result, math.nan)


@routine
@in_double
def exp1(x: Value) -> Value:
    """E₁(x) within 4 ulp in f32; NaN below 0."""
    return _exp1(x)


def _exp1(x: Value) -> Value:
    near = fma(x, polynomial(x, _EXP1_NEAR), -(log(x) + _EULER))
    far = exp(-x) / x * polynomial((x - 3.0) / (x + 3.0), _EXP1_FAR)
    return select(x < math.inf, select(x <= 1.0, near, far), select(x == math.inf, 0.0, x))


@routine
@in_double
def expi(x: Value) -> Value:
    """Ei(x) within 4 ulp in f32; −∞ at 0."""
    growing = select((x > 0.0) & (x <= 6.0), x, 1.0)
    near = log(growing) + fma(growing, polynomial(growing, _EXPI_NEAR), _EULER)
    # Two factors, for eˣ overflows before Ei(x) does.
    root = exp(x * 0.5)
    far = root * (root * _expi_factor(select(x > 6.0, x, 6.0)))
    result = select(x > 6.0, far, select(x > 0.0, near, -_exp1(-x)))
    return select(x == math.inf, x, select(x == 0.0, -math.inf, result))


def _expi_factor(x: Value) -> Value:
    """Ei(x)·e⁻ˣ for x ≥ 6."""
    inverse = 1.0 / x
    centre = select(x > 14.0, _EXPI_CENTRES[1], x.like(_EXPI_CENTRES[0]))
    q = (x - centre) / (x + centre)
    middle = select(x > 14.0, polynomial(q, _EXPI_HIGHER), polynomial(q, _EXPI_MIDDLE))
    return inverse * select(x > 40.0, polynomial(inverse, _EXPI_FAR), middle)


def _expn_fraction(n: Value, x: Value) -> Value:
    """E_n(x)·eˣ for x > 1."""
    first = 1.0 / (x + n)
    state = [x.like(1.0), x.like(2.0**900), first, first, x.like(0.0)]
    return repeat(_ratio_counts, _next_ratio, state, (n, x))[3]


def _ratio_counts(k: Value, c: Value, d: Value, total: Value, ratio: Value, *_: Value) -> Value:
    return (abs(ratio - 1.0) > _EPSILON) & (k < _MOST_STEPS)


def _next_ratio(
    k: Value, c: Value, d: Value, total: Value, ratio: Value, n: Value, x: Value
) -> list[Value]:
    above, below = -k * (n - 1.0 + k), x + n + (k + k)
    d, c = 1.0 / fma(above, d, below), below + above / c
    ratio = c * d
    return [k + 1.0, c, d, total * ratio, ratio]


def _expn_series(n: Value, x: Value) -> Value:
    """E_n(x) for x ≤ 1: a power series without its (n − 1)st term, which has a logarithm."""
    start = select(n == 1.0, n.like(0.0), -1.0 / (1.0 - n))
    state = [x.like(0.0), x.like(1.0), start, x.like(1.0)]
    total = repeat(_term_counts, _next_term, state, (n, x))[2]
    safe = select((n >= 1.0) & (n < 150.0), n, 1.0)
    special = pow(-x, safe - 1.0) / gamma(safe) * (digamma(safe) - log(x))
    return total + select(n < 150.0, special, 0.0)


def _term_counts(k: Value, power: Value, total: Value, term: Value, *_: Value) -> Value:
    return (abs(term) > abs(total) * _EPSILON) & (k < _MOST_STEPS)


def _next_term(
    k: Value, power: Value, total: Value, term: Value, n: Value, x: Value
) -> list[Value]:
    k = k + 1.0
    power = -power * x / k
    distance = k - (n - 1.0)
    is_special = distance == 0.0
    step = select(is_special, 0.0, -power / select(is_special, 1.0, distance))
    return [k, power, total + step, select(is_special, power, step)]


# ---- sine and cosine integrals --------------------------------------------------------------

# Si(x)/x and (Ci(x) − log x − γ)/x² as polynomials in x², minimax for the relative error on
# x ≤ 4: 2^-70.5 and 2^-65.8.
_SINE_NEAR = (
    1.0, -0.05555555555555555, 0.0016666666666666666, -2.8344671201814006e-05,
    3.061924358220291e-07, -2.2774643986616018e-09, 1.2353110639757637e-11,
    -5.0981090841623924e-14, 1.653797523908785e-16, -4.326577575746851e-19, 9.31630373699396e-22,
    -1.6664476107348024e-24, 2.2427670869320452e-27,
)  # fmt: skip
_COSINE_NEAR = (
    -0.25, 0.010416666666666666, -0.0002314814814814813, 3.100198412698199e-06,
    -2.7557319223860967e-08, 1.739729748556254e-10, -8.193389617266516e-13, 2.987171943505215e-15,
    -8.677201762055943e-18, 2.054282938443069e-20, -4.007852691609364e-23, 5.847775669743053e-26,
)  # fmt: skip
# x·f(x) and x²·g(x), the auxiliary functions of DLMF 6.2, as polynomials in (x − 6)/(x + 6),
# minimax on x ≥ 4: 2^-59.4 and 2^-59.2.
_AUXILIARY_F = (
    0.9558333214575802, 0.14611957344138626, -0.20497371045193186, 0.1770643831338155,
    -0.12151707171121627, 0.07897687273006415, -0.053330921165139544, 0.03730608427377499,
    -0.02680005995168664, 0.01982191904418012, -0.0150166442532442, 0.011613866699433869,
    -0.00915354048356781, 0.007334641600264393, -0.00596631132457574, 0.004895485291865013,
    -0.003965355796846119, 0.003034149854033337, -0.0020626723323251073, 0.001165173191166141,
    -0.0005103112032709757, 0.00015964469145390793, -3.142658545783247e-05, 2.9098502442720964e-06,
)  # fmt: skip
_AUXILIARY_G = (
    0.882773534736887, 0.35109328389331845, -0.3975104984319161, 0.2151248161040079,
    -0.0533626788456865, -0.004064507115750847, 0.013539966348396729, -0.015486447259519165,
    0.014572597701497183, -0.012294802883473621, 0.01030462402025879, -0.008550580281986641,
    0.0070772088701192525, -0.005901967031477777, 0.004949367138488889, -0.004198634919242326,
    0.0035820758086313686, -0.002977348062147198, 0.002264795148362321, -0.0014550812731820469,
    0.0007270960561368651, -0.0002576094109627061, 5.6466304340875375e-05, -5.676615100688594e-06,
)  # fmt: skip


@routine
@in_double
def sine_integral(x: Value) -> Value:
    """Si(x) = ∫ sin(t)/t dt from 0 to x, within 4 ulp in f32."""
    size = abs(x)
    near = size * polynomial(size * size, _SINE_NEAR)
    f, g = _auxiliary(size)
    far = math.pi / 2 - fma(f, cos(size), g * sin(size))
    result = select(size < 4.0, near, select(size < math.inf, far, math.pi / 2))
    return select(x == x, flip_sign(result, sign_bit(x)), x)


@routine
@in_double
def cosine_integral(x: Value) -> Value:
    """Ci(x) = γ + log|x| + ∫ (cos(t) − 1)/t dt from 0 to |x|, within 4 ulp in f32."""
    size = abs(x)
    square = size * size
    near = log(size) + fma(square, polynomial(square, _COSINE_NEAR), _EULER)
    f, g = _auxiliary(size)
    far = fma(f, sin(size), -g * cos(size))
    result = select(size < 4.0, near, select(size < math.inf, far, 0.0))
    return select(x == x, result, x)


def _auxiliary(x: Value) -> Pair:
    """f(x) and g(x) for x ≥ 4, without the oscillation of the integrals."""
    inverse = 1.0 / x
    q = select(x < math.inf, (x - 6.0) / (x + 6.0), 1.0)
    f, g = polynomial(q, _AUXILIARY_F), polynomial(q, _AUXILIARY_G)
    return f * inverse, g * inverse * inverse
