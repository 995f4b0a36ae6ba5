"""Comparisons. Complex numbers are compared for equality only."""

from __future__ import annotations

import math

import numpy as np

from jitml.ops.kinds import Row, bool_dtype

eq: Row = Row("eq", np.equal, "biufc", (None, None), (), lambda a, b: a == b, bool_dtype)
ne: Row = Row("ne", np.not_equal, "biufc", (None, None), (), lambda a, b: a != b, bool_dtype)
lt: Row = Row("lt", np.less, "biuf", (None, None), (), lambda a, b: a < b, bool_dtype)
le: Row = Row("le", np.less_equal, "biuf", (None, None), (), lambda a, b: a <= b, bool_dtype)
gt: Row = Row("gt", np.greater, "biuf", (None, None), (), lambda a, b: a > b, bool_dtype)
ge: Row = Row("ge", np.greater_equal, "biuf", (None, None), (), lambda a, b: a >= b, bool_dtype)
is_finite: Row = Row(
    "is_finite", np.isfinite, "f", (None,), (), lambda x: abs(x) < math.inf, bool_dtype
)
