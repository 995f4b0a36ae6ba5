"""Run programs on an NVIDIA GPU, or on an emulated one.

Comes in: plans whose instructions are launches, PTX, arrays. Goes out: arrays, or a named error
with the user's line. The driver's library is looked for when `JITML_DEVICE` asks for a device, not
before.
"""
