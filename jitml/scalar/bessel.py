"""Modified Bessel functions of the first kind, scaled by exp(−|x|). f32 or f64 in, the same out.

In f64, up to |x| = 8 a polynomial in |x|/4 − 1, beyond it one in 16/|x| − 1 times 1/√|x| (Clenshaw,
1962): both interpolate at Chebyshev's points, within 2^-55. In f32 the first is exp(−|x|) times a
polynomial in x²/4, whose terms are all positive, and the second one in 1/|x|.
"""

from __future__ import annotations

from collections.abc import Sequence

from jitml.scalar.arithmetic import is_single, polynomial, two_product
from jitml.scalar.exponential import exp_as_pair
from jitml.scalar.value import Value, copysign, fma, routine, scale, select, sqrt

# exp(−x)·I₀(x) and exp(−x)·I₁(x)/x for 0 ≤ x ≤ 8.
_I0_NEAR = (
    0.2070019212239867, -0.11300432688620536, 0.09451562853995125, -0.08904344136077733,
    0.08734341617550884, -0.08496338091542556, 0.07927522590752974, -0.06954119563154397,
    0.05677703201501785, -0.04298594929673067, 0.03017791206221918, -0.019682655784004566,
    0.011960077703464203, -0.006792394821044967, 0.0036171271654272855, -0.0018119029764120445,
    0.0008563135177565376, -0.0003828654139905961, 0.0001624084559061418, -6.55678677969644e-05,
    2.5198651465609148e-05, -9.183910794736519e-06, 3.232396382443255e-06,
    -1.1419495259048662e-06, 3.659216730162776e-07, -8.594601526025913e-08, 2.679771004975793e-08,
    -1.631130691668671e-08, 4.394426308340083e-09,
)  # fmt: skip
_I1_NEAR = (
    0.044687709875608835, -0.061124338029666284, 0.06805759990951162, -0.0684826062058269,
    0.06376740371340611, -0.05528003922699226, 0.044674572621282986, -0.03367135552107505,
    0.023686016957350876, -0.015571309244077562, 0.009583962153764291, -0.005534567846988655,
    0.0030057624040464932, -0.001538874564273584, 0.0007445123998749739, -0.0003411760229204836,
    0.00014842110758080817, -6.142361409267038e-05, 2.4233987591498262e-05,
    -9.136529630106953e-06, 3.29361514435675e-06, -1.1327198008251626e-06, 3.7617292810159424e-07,
    -1.2424046295570417e-07, 3.7901404602356164e-08, -8.986801013193351e-09,
    2.644330576999187e-09, -1.4165980180332847e-09, 3.6696752013169966e-10,
)  # fmt: skip
# √x·exp(−x)·I₀(x) and √x·exp(−x)·I₁(x) for x ≥ 8.
_I0_FAR = (
    0.4021765094450081, 0.003360551983667854, 0.00013621607439232746, 1.1143033791556743e-05,
    1.4838475473607391e-06, 2.973598432479169e-07, 8.87225351128584e-08, 3.932602459703109e-08,
    2.1545177650836005e-08, 7.553516470355896e-09, -6.729724111923548e-09,
    -1.3404241991980871e-08, -5.4685974495866e-09, 7.540601378890834e-09, 7.58022133915272e-09,
    -3.4857887470034955e-09, -6.188265090497361e-09, 1.497880830187091e-09, 3.881151253996067e-09,
    -5.562201990080394e-10, -1.7789375042917173e-09, 1.4672236659214398e-10,
    5.181936971288284e-10, -1.9216763724933513e-11, -7.06893851181878e-11,
)  # fmt: skip
_I1_FAR = (
    0.38939845902587233, -0.009749577193235728, -0.00021923576383430274, -1.5038547201176271e-05,
    -1.8349101134666435e-06, -3.483855609009937e-07, -1.0001323461066435e-07,
    -4.312935369971356e-08, -2.337059627111857e-08, -8.426622829598154e-09, 6.715795128085017e-09,
    1.4029693589852716e-08, 6.040877342160988e-09, -7.630751970065577e-09, -8.044231276166508e-09,
    3.406636130196794e-09, 6.4870195719816896e-09, -1.4171698018664596e-09,
    -4.047785403711858e-09, 5.146498826087142e-10, 1.8513716745511988e-09, -1.342266320082222e-10,
    -5.388285995923524e-10, 1.7502497778701306e-11, 7.347992441734663e-11,
)  # fmt: skip

# (I₀(2√z) − 1)/z and (I₁(2√z)/√z − 1)/z for z ≤ 16, minimax for the relative error of I₀ and
# I₁: 2^-31.7 and 2^-34.
_I0_NEAR_F32 = (
    1.0, 2.5000003e-01, 2.7777726e-02, 1.7361486e-03, 6.94296e-05, 1.9324932e-06,
    3.886502e-08, 6.5992517e-10, 5.2199607e-12, 1.4225687e-13,
)  # fmt: skip
_I1_NEAR_F32 = (
    5e-01, 8.3333336e-02, 6.9444375e-03, 3.4722665e-04, 1.1572467e-05, 2.7592506e-07,
    4.872984e-09, 7.2421735e-11, 5.5198484e-13, 1.2514439e-14,
)  # fmt: skip
# √x·exp(−x)·I₀(x) and √x·exp(−x)·I₁(x) in 1/x for x ≥ 8, likewise: 2^-29.6 and 2^-29.4.
_I0_FAR_F32 = (
    3.989423e-01, 4.986742e-02, 2.8094765e-02, 2.7251987e-02, 8.511438e-02, -3.0556712e-01,
    1.8275384e+00,
)  # fmt: skip
_I1_FAR_F32 = (
    3.989423e-01, -1.4960293e-01, -4.6801824e-02, -3.8657915e-02, -1.03437945e-01, 3.3792394e-01,
    -2.0769973e+00,
)  # fmt: skip


# How much exp(−x) makes up for what x² lost when it was rounded: (d log P(x²/4)/dx)/(2x), P one of
# the first two polynomials, within a few percent for 2 ≤ x ≤ 8.
_I0_BEND = (0.2, -0.027, 0.0012)
_I1_BEND = (0.138, -0.0165, 0.0007)


def _single(
    size: Value, near: Sequence[float], bend: Sequence[float], far: Sequence[float]
) -> tuple[Value, Value]:
    """The two of f32, but for the factor x/2 of the first."""
    limited = select(size < 8.0, size, 8.0)
    square, lost = two_product(limited, limited)
    n, one, one_low = exp_as_pair(-limited, lost * polynomial(limited, bend))
    z = square * 0.25
    factor = fma(z, polynomial(z, near), 1.0)
    close = scale(fma(one, factor, one_low * factor), n)
    # Scaled, for the reciprocal of the largest numbers is denormal.
    inverse = 2.0**24 / select(size > 8.0, size, 8.0)
    return close, polynomial(inverse * 2.0**-24, far) * (sqrt(inverse) * 2.0**-12)


def _scaled(size: Value, near: Sequence[float], far: Sequence[float]) -> tuple[Value, Value]:
    """The two polynomials, each where it holds, without the factor that x is to either."""
    close = polynomial(select(size < 8.0, size, 8.0) * 0.25 - 1.0, near)
    distant = polynomial(16.0 / select(size > 8.0, size, 8.0) - 1.0, far)
    return close, distant / sqrt(size)


@routine
def bessel_i0e(x: Value) -> Value:
    """exp(−|x|)·I₀(x) within 4 ulp."""
    size = abs(x)
    if is_single(x):
        near, far = _single(size, _I0_NEAR_F32, _I0_BEND, _I0_FAR_F32)
    else:
        near, far = _scaled(size, _I0_NEAR, _I0_FAR)
    result = select(size > 8.0, far, near)
    return select(size > 0.0, result, select(x == 0.0, 1.0, x))


@routine
def bessel_i1e(x: Value) -> Value:
    """exp(−|x|)·I₁(x) within 4 ulp."""
    size = abs(x)
    if is_single(x):
        near, far = _single(size, _I1_NEAR_F32, _I1_BEND, _I1_FAR_F32)
        near = near * (size * 0.5)
    else:
        near, far = _scaled(size, _I1_NEAR, _I1_FAR)
        near = near * size
    result = select(size > 8.0, far, near)
    return select(x == x, copysign(result, x), x)
