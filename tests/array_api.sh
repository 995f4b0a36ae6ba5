#!/usr/bin/env bash
# The array API standard's own tests, 200 examples each: what does not pass must be what
# array_api_known.md lists. Usage: array_api.sh PYTHON [options of pytest]
# ARRAY_API_TESTS names a checkout of the suite; without it the suite is cloned.
set -euo pipefail
python=$(command -v "$1") commit=55fcc60179efa2680ddd6cd926ddf17b83530e2b
python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python")
shift
cd "$(dirname "$0")/.."
root=$PWD
folder=$(mktemp -d)
suite=${ARRAY_API_TESTS:-$folder/suite}
if [ ! -d "$suite" ]; then
  git clone --quiet https://github.com/data-apis/array-api-tests "$suite"
  git -C "$suite" checkout --quiet "$commit"
  git -C "$suite" submodule --quiet update --init
fi
"$python" -m pip install --quiet --no-deps --target "$folder/packages" \
  "ndindex>=1.8" pytest-json-report pytest-metadata

cd "$suite"
ARRAY_API_TESTS_MODULE=jitml.numpy ARRAY_API_TESTS_VERSION=2024.12 \
  PYTHONPATH="$root:$root/runtime:$folder/packages${PYTHONPATH:+:$PYTHONPATH}" \
  "$python" -m pytest -q --tb=short -p no:cacheprovider --max-examples 200 --disable-deadline \
  --json-report --json-report-file "$folder/report.json" array_api_tests "$@" >"$folder/log" || true

cd "$root" # three backquotes begin and end the list of what is known not to pass
"$python" - "$folder/report.json" tests/array_api_known.md <<'PROGRAM' || { grep -E "^(E |FAILED)" "$folder/log"; exit 1; }
import json, sys
from collections import Counter

tests = json.load(open(sys.argv[1]))["tests"]
known = set(open(sys.argv[2]).read().split("```")[1].strip().splitlines())
failed = {t["nodeid"].partition("::")[2] for t in tests if t["outcome"] not in ("passed", "skipped")}
for name in sorted(failed - known):
    print("fails:", name)
for name in sorted(known - failed):
    print("known not to pass, but passes:", name)
print(dict(Counter(t["outcome"] for t in tests)))
sys.exit(bool(failed ^ known) or not tests)
PROGRAM
