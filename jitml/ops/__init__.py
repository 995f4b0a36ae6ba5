"""The ops: each in one place, with all its rules.

Files by kind. A kind (elementwise, reduction, movement, contraction, control) supplies what its ops
have in common. Ops bind through `trace` and lower through `scalar`; they know no transform and no
backend.
"""
