"""`python -m jitml.as_jax program.py …`: run a JAX program on jitml.

python -m jitml.as_jax program.py [arguments]
python -m jitml.as_jax -m module [arguments]
"""

from __future__ import annotations

import os
import runpy
import sys

from jitml.as_jax import install


def main(arguments: list[str]) -> int:
    """Run what the arguments of the command name, as Python itself would."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    first, rest = arguments[0], arguments[1:]
    if first == "-m":
        if not rest:
            print(f"as_jax: -m needs the name of a module\n{__doc__}", file=sys.stderr)
            return 2
        _start(rest, os.getcwd())
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        return 0
    if not os.path.exists(first):
        print(f"as_jax: there is no file {first!r}", file=sys.stderr)
        return 2
    _start(arguments, os.path.dirname(os.path.abspath(first)))
    runpy.run_path(first, run_name="__main__")
    return 0


def _start(arguments: list[str], folder: str) -> None:
    """Let the process look as Python makes it look for a program in a folder."""
    install()
    sys.argv = arguments
    sys.path[0] = folder


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
