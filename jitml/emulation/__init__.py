"""A GPU in NumPy: what compiled kernels do on a device, seen on a machine without one.

Comes in: PTX, or the LLVM text that it is made of (`threads`), and launches. Goes out: memory
afterwards, what was counted, and faults that real devices leave unseen: races, reads of memory that
nobody has written, misaligned and illegal accesses. It knows nothing of the compiler; it is
imported only where a program is run on it.
"""
