"""Doubles of the bindings of nvmath-python, over the memory and streams of an emulated device."""
