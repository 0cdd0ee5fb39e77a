#!/bin/sh
# Finds a Python, lets it make .venv if the lock changed, and runs a command inside: bootstrap.sh COMMAND [ARGUMENT...]
set -eu
cd "$(dirname "$0")/../.."
for python in ${PYTHON:-} .venv/bin/python python3.11 python3.12 python3.13 python3; do
  if command -v "$python" >/dev/null 2>&1 &&
    "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
    "$python" workers/stack/bootstrap.py
    command=$1
    shift
    exec ".venv/bin/$command" "$@"
  fi
done
echo "error: Candid8 needs Python 3.11, 3.12 or 3.13 (Debian 12: apt install python3)" >&2
exit 1
