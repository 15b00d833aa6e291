#!/bin/sh
# Builds the layer, unless it was built already, and prints the folder where it lies with its manifest. It needs a C compiler and
# Vulkan's headers; as root in CI they are installed, by the mirror that apt uses. Where they cannot be had it ends with status 3.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$here/../../../node_modules/.cache/pentimento-lab
say() { echo "lab: $*" >&2; }

ready() { [ -e /usr/include/vulkan/vk_layer.h ] && command -v "${CC:-cc}" >/dev/null 2>&1; }

if ! ready; then
  if [ -n "${CI:-}" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev libvulkan-dev; } >&2 || true
  fi
  if ! ready; then
    say "no C compiler or no headers of Vulkan. On Debian: sudo apt-get install gcc libc6-dev libvulkan-dev"
    exit 3
  fi
fi

mkdir -p "$out"
if [ ! -e "$out/dry_layer.so" ] || [ "$here/dry_layer.c" -nt "$out/dry_layer.so" ]; then
  "${CC:-cc}" -std=gnu11 -O2 -Wall -fvisibility=hidden -fPIC -shared -pthread -o "$out/dry_layer.so.$$" "$here/dry_layer.c"
  mv "$out/dry_layer.so.$$" "$out/dry_layer.so"
fi
cp "$here/manifest.json" "$out/"
(cd "$out" && pwd)
