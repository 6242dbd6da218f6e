#!/usr/bin/env bash
# All checks, from anywhere: bash tests/run.sh [--all] [PYTEST ARGUMENT...]   It stops at the first that fails.
# --all: also the tests marked slow, which the usual ones leave out.
# --verify, alone: the verification suite (docs/verification.md), which is apart from the tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash install.sh
export PATH=$PWD/.venv/bin:$PATH FIPY_SOLVERS=petsc
if [[ ${1:-} == --verify ]]; then
    exec python -m tests.verification
fi
ruff check .
ruff format --check .
mypy
pytest -q "$@"
