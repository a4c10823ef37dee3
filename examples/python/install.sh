#!/usr/bin/env bash
# Makes a Python environment in target/python with what orchestrator.py imports.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p target
exec 9>target/python.lock
flock 9
[ -x target/python/bin/pip ] || python3 -m venv target/python
target/python/bin/pip install --quiet --disable-pip-version-check -r examples/python/requirements.txt
