"""Kernels and plans for GPUs, on emulated devices."""
