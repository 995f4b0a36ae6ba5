"""Elementwise ops: a row each. Name, meaning in NumPy, dtype kinds, derivatives, and what it
computes per element.

`partials` have one entry per input, `lambda t, y, *inputs:` the output's tangent; `transposes`
likewise `lambda ct, *inputs:` where the op is linear. Without a `lower` the function of the same
name in `scalar.math` serves.

This is the place to import them from. `import *` keeps a new op a row in one file.
"""

from __future__ import annotations

from jitml.ops.elementwise.arithmetic import *  # noqa: F403
from jitml.ops.elementwise.bits import *  # noqa: F403
from jitml.ops.elementwise.comparison import *  # noqa: F403
from jitml.ops.elementwise.conversion import *  # noqa: F403
from jitml.ops.elementwise.gamma import *  # noqa: F403
from jitml.ops.elementwise.parts import *  # noqa: F403
from jitml.ops.elementwise.rounding import *  # noqa: F403
from jitml.ops.elementwise.selection import *  # noqa: F403
from jitml.ops.elementwise.special import *  # noqa: F403
from jitml.ops.elementwise.transcendental import *  # noqa: F403
from jitml.ops.kinds import full_like as full_like
