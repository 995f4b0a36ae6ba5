"""The scalar language: some forty instructions in which every op says what it computes per element.

`value` has the instructions, `math` and `complex` the functions written with them. Nothing here
knows a backend, an array or an index: a backend is one table over the instruction names
(`codegen.llvm` is one).
"""
