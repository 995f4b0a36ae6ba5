"""Recording: `Tracer`s stand for values while a Python function runs, and every `bind` becomes an
equation.

Comes in: a function over flat values. Goes out: a `Graph` and the values that it captured. It knows
no transform and no backend; how an operation is evaluated outside of any trace is told to it by the
pipeline.
"""
