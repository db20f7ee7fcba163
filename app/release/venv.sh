#!/bin/bash
# Makes the Python environment of the release in whose folder this lies, from its wheels alone: venv.sh PYTHON FOLDER
# Neither an index nor the system's pip is asked; pip itself is one of the wheels.
set -euo pipefail

python=$1
folder=$2
release=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pip=("$release"/wheels/pip-*.whl)

"$python" -m venv --clear --without-pip "$folder"
"$folder/bin/python" "${pip[0]}/pip" --isolated --disable-pip-version-check install --quiet --no-cache-dir \
  --no-index --find-links "$release/wheels" --no-deps --require-hashes --requirement "$release/requirements.txt"
"$folder/bin/python" -m compileall -q "$release/app" "$release/relight_lease"
