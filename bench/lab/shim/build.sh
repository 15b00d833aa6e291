#!/bin/sh
# Builds the stand-in for Intel's cards, unless it was built already, and prints the file. It needs a C compiler; where there is none it ends
# with status 3.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$here/../../../node_modules/.cache/pentimento-lab
if ! command -v "${CC:-cc}" >/dev/null 2>&1; then
  echo "lab: no C compiler. On Debian: sudo apt-get install gcc libc6-dev" >&2
  exit 3
fi
mkdir -p "$out"
if [ ! -e "$out/intel_card.so" ] || [ "$here/intel_card.c" -nt "$out/intel_card.so" ]; then
  "${CC:-cc}" -std=gnu11 -O2 -Wall -fPIC -shared -o "$out/intel_card.so.$$" "$here/intel_card.c" -ldl
  mv "$out/intel_card.so.$$" "$out/intel_card.so"
fi
echo "$(cd "$out" && pwd)/intel_card.so"
