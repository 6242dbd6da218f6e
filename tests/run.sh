#!/usr/bin/env bash
# All checks, from anywhere: bash tests/run.sh [PYTEST ARGUMENT...]   It stops at the first that fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash install.sh
export PATH=$PWD/.venv/bin:$PATH FIPY_SOLVERS=petsc
ruff check .
ruff format --check .
mypy
pytest -q "$@"
