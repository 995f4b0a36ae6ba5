"""The second backend: the kernels of the code generator as grids of threads, in PTX.

Comes in: the kernels and plans of `jitml.codegen`. Goes out: PTX text, and a plan whose
instructions are launches. No driver is needed, and none is asked for.
"""
