#!/usr/bin/env bash
# The long checks, run before a release: `make check-all`. Writes what they found to tests/RESULTS.md.
# Usage: check_all.sh PYTHON [REGEX]: the checks whose names match; the lines of others stay.
set -uo pipefail
cd "$(dirname "$0")/.."
python=$1
chosen=${2:-.}
results=tests/RESULTS.md
failed=0

write() { # write START LINE: in place of the line of the results that begins so, or as the last
  local start=$1 line=$2 old found=
  while IFS= read -r old; do
    if [[ $old == "$start"* ]]; then old=$line found=1; fi
    printf '%s\n' "$old"
  done <"$results" >"$results.new"
  [ "$found" ] || printf '%s\n' "$line" >>"$results.new"
  mv "$results.new" "$results"
}

check() { # check NAME COMMAND…: run it, keep its last line
  local name=$1 log start status
  shift
  [[ $name =~ $chosen ]] || return 0
  log=$(mktemp)
  start=$SECONDS
  if "$@" >"$log" 2>&1; then status=passed; else status=FAILED; failed=1; tail -n 40 "$log"; fi
  echo "$name: $status in $((SECONDS - start)) s"
  write "| $name |" "| $name | $(git rev-parse --short HEAD) | $status | $((SECONDS - start)) s | $(
    grep -v '^$' "$log" | tail -n 1 | tr '|' '/'
  ) |"
}

on_version() { # the suite in a fresh virtual environment of another Python
  local folder
  folder=$(mktemp -d)
  "$1" -m venv "$folder" && "$folder/bin/pip" install --quiet ".[test]" &&
    "$folder/bin/python" -m pytest -n auto -p no:cacheprovider
}

libraries() { # other libraries on jitml: Optax, and what extra `libraries` names
  local folder
  folder=$(mktemp -d)
  "$python" -m venv "$folder" && "$folder/bin/pip" install --quiet ".[test,libraries,fft]" &&
    JITML_GRID=all "$folder/bin/python" -m pytest -n auto -p no:cacheprovider tests/as_jax tests/libraries tests/test_checkpoints.py \
      tests/numpy/test_fft.py tests/scipy/test_scipy_fft.py tests/runtime/test_library.py
}

numba_cuda() { # kernels of numba as ops, numba-cuda and cuda.core themselves on the emulated GPU; nvmath-python's signatures
  local folder
  folder=$(mktemp -d)
  "$python" -m venv "$folder" && "$folder/bin/pip" install --quiet ".[test,cuda]" &&
    "$folder/bin/python" -m pytest -n 0 -p no:cacheprovider tests/test_ffi.py tests/gpu/test_numba_kernels.py \
      tests/gpu/test_real_numba.py tests/gpu/test_library_signatures.py
}

notebooks() { # all notebooks in a kernel, some in JupyterLab by headless Chromium where there is one
  local folder
  folder=$(mktemp -d)
  "$python" -m venv "$folder" && "$folder/bin/pip" install --quiet ".[test,notebook,browser]" &&
    JITML_NOTEBOOKS=1 JITML_BROWSER=1 JITML_ARTEFACTS="${JITML_ARTEFACTS:-build/screenshots}" \
      "$folder/bin/python" -m pytest -n 0 -p no:cacheprovider tests/notebook tests/display
}

ops_of_programs() { # how often each op occurs in them
  "$python" -m pytest -q tests/fuzz -k every_op | grep "random programs:"
}

wheel() { # a wheel runs where no compiler is; one made without a compiler runs the Python executor
  local folder program
  folder=$(mktemp -d)
  program="import jitml, jitml.numpy as jnp; print(jitml.jit(lambda x: jnp.sin(x).sum())(jnp.zeros(9)))"
  make_wheel() {
    rm -rf build # what an earlier one has left there would get in
    "$python" -m pip wheel --quiet --no-deps --wheel-dir "$folder/$1" .
  }
  install() {
    "$python" -m venv "$folder/$1/venv" && "$folder/$1/venv/bin/pip" install --quiet "$folder/$1"/*.whl
  }
  use() { # on a bare path, away from the sources
    (cd "$folder" && env -i PATH=/nowhere HOME="$folder" "$folder/$1/venv/bin/python" -c "$program")
  }
  make_wheel whole && CC=false make_wheel pure && install whole && install pure &&
    [ "$(use whole 2>&1)" = 0.0 ] && [ "$(use pure 2>"$folder/warnings")" = 0.0 ] &&
    [ "$(wc -l <"$folder/warnings")" = 1 ] && grep "C core cannot be used" "$folder/warnings"
}

with_core() { # with_core FLAG… : a folder that holds the runtime with a core built so
  local folder
  folder=$(mktemp -d)
  cp -r runtime/jitml_runtime "$folder/jitml_runtime"
  rm -f "$folder"/jitml_runtime/*.so
  gcc -std=gnu11 -O1 -shared -fPIC "$@" \
    $("$python" -c 'import sysconfig; print("-I" + sysconfig.get_path("include"))') runtime/core/*.c \
    -pthread -o "$folder/jitml_runtime/_core.so" && echo "$folder"
}

sanitized() { # the C core under AddressSanitizer and UndefinedBehaviorSanitizer
  local folder
  folder=$(with_core -g -fsanitize=address,undefined -fno-sanitize-recover=undefined) &&
    LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" \
      ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:quarantine_size_mb=1 PYTHONPATH="$folder" PYTHONMALLOC=malloc \
      "$python" -m pytest -n auto -k "not gdb and not may_fail and not cheap and not guarded" tests/runtime tests/test_array_methods.py \
      tests/test_concurrency.py tests/test_eager.py tests/test_guards.py tests/test_jit.py tests/test_stages.py
}

guarded() { # kernels with a core whose blocks end where memory that nobody may touch begins
  local folder
  folder=$(with_core -DJITML_GUARD_BLOCKS) &&
    PYTHONPATH="$folder" JITML_RUNTIME=native "$python" -X faulthandler -m pytest -n auto \
      tests/codegen tests/fuzz tests/lax tests/ops tests/test_backend.py tests/test_ops.py
}

if [ "$chosen" = . ]; then
  {
    echo "# Last result of \`make check-all\`"
    echo
    echo "$("$python" --version), $(uname -sm)"
    echo
    echo "| check | commit | result | time | last line |"
    echo "|---|---|---|---|---|"
  } >"$results"
fi

check "all cases, C core" env JITML_GRID=all "$python" -m pytest -n auto
check "fast suite, Python executor" env JITML_RUNTIME=python "$python" -m pytest -n auto
check "every op on the emulated GPU" env JITML_GPU=all JITML_GPU_PROGRAMS=200 "$python" -m pytest -n auto tests/gpu
check "every op's kernels thread by thread" env JITML_GPU_RUNG=threads JITML_GPU=all JITML_GPU_PROGRAMS=40 \
  "$python" -m pytest -n auto tests/gpu/test_cases.py tests/gpu/test_random_programs.py
export JITML_FUZZ_PROGRAMS=500
check "500 random programs" "$python" -m pytest -n auto tests/fuzz
check "500 random programs at level 2" env JITML_FUZZ_LEVEL=2 "$python" -m pytest -n auto tests/fuzz
check "ops of the random programs" ops_of_programs
unset JITML_FUZZ_PROGRAMS
own=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
for version in 3.10 3.11 3.12 3.13; do
  if [ "$version" != "$own" ] && "python$version" --version >/dev/null 2>&1; then
    check "fast suite, Python $version" on_version "python$version"
  fi
done
check "other libraries" libraries
check "numba-cuda" numba_cuda
check "notebooks" notebooks
command -v valgrind >/dev/null && check "instructions of profile and live" "$python" benchmarks/overhead.py
check "documentation" make docs
check "wheels" wheel
check "sanitizers" sanitized
check "guarded blocks" guarded
check "a minute of concurrent calls, a hundred forks" env JITML_STRESS=1 "$python" -m pytest \
  tests/test_concurrency.py tests/runtime/test_threads.py
check "all calls of every function" env JITML_GRID=full "$python" -m pytest -n auto tests/test_every_call.py \
  tests/numpy/test_every_name.py tests/lax/test_every_dtype.py
check "the array API standard" tests/array_api.sh "$python" -n auto
check "lint" make lint
exit $failed
