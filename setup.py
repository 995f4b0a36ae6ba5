"""Build the C core of jitml_runtime; everything else about the package is in pyproject.toml.

Where no compiler is at hand the build goes on without it, and the pure-Python executor serves.
"""

from glob import glob

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "jitml_runtime._core",
            sources=sorted(glob("runtime/core/*.c")),
            depends=sorted(glob("runtime/core/*.h")),
            extra_compile_args=[
                "-std=gnu11",
                "-O2",
                "-g0",
                "-Wall",
                "-Wextra",
                "-fvisibility=hidden",
            ],
            extra_link_args=["-pthread"],
            optional=True,
        )
    ]
)
