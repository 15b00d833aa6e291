#!/bin/sh
# Unpacks the Mesa of Debian 13's backports with the C library that it needs into a folder: its lavapipe builds compute shaders
# many times faster than Mesa 25's, and most of the suite's time is that. Nothing is installed, no root is needed.
#
#   scripts/mesa/fetch.sh                  prints the folder; fetches it first where it is missing (a minute, 250 MB)
#   scripts/mesa/fetch.sh --cards          another folder, with the drivers of graphics cards, and what lets them open without one:
#                                          for bench/lab (a minute, 400 MB)
#   scripts/mesa/fetch.sh --cards --sid    the same of Debian unstable, whose drivers know newer cards: to look at, never for tests
#   scripts/mesa/fetch.sh ... --dry-run    only prints what it would fetch, and from where
#
# The mirror and the key are those that apt uses for this Debian already. Where there is none, or it cannot be reached,
# a line says so and the status is 3: then the suite runs on the machine's own driver.
set -eu

RECIPE=1 # raise it when what lies in the folder changes
SUITE=trixie
CARDS=no
DRY=no
for argument in "$@"; do
  case $argument in
    --cards) CARDS=yes ;;
    --sid) SUITE=sid ;;
    --dry-run) DRY=yes ;;
    *)
      echo "fetch.sh: unknown argument '$argument'; it takes --cards, --sid and --dry-run" >&2
      exit 2
      ;;
  esac
done
FROM=/$SUITE-backports
[ "$SUITE" != sid ] || FROM=
PACKAGES="libc6 libstdc++6 libvulkan1 mesa-vulkan-drivers$FROM"
ROOT=${SETUP_ROOT:-} # tests put a made-up /etc below it
. "$(dirname "$0")/../apt-sources.sh"
cache=${PENTIMENTO_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/pentimento}
folder=$cache/mesa-$SUITE-$RECIPE
without="the tests use this machine's own driver"
if [ "$CARDS" = yes ]; then
  PACKAGES="$PACKAGES mesa-drm-shim$FROM"
  folder=$cache/mesa-$SUITE-cards-$RECIPE
  without="cards that need it cannot be opened"
fi

refuse() {
  echo "mesa: $*; $without" >&2
  exit 3
}

[ "$DRY" = yes ] || [ ! -d "$folder" ] || { echo "$folder" && exit 0; }

[ "$(field ID)" = debian ] || refuse "only fetched on Debian"
archive=$(archive_of "$(field VERSION_CODENAME)" | grep -v -- -security | head -n 1)
[ -n "$archive" ] || refuse "apt has no mirror of Debian"
read -r uri key <<EOF
$archive
EOF
[ "$key" != - ] || key=/usr/share/keyrings/debian-archive-keyring.gpg
sources="deb [signed-by=$key] $uri $SUITE main"
[ -z "$FROM" ] || sources="$sources
deb [signed-by=$key] $uri $SUITE-backports main"
if [ "$DRY" = yes ]; then
  printf '%s\nfetch %s\ninto %s\n' "$sources" "$PACKAGES" "$folder"
  exit 0
fi

mkdir -p "$cache"
scratch=$(mktemp -d "$cache/mesa-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 3' INT TERM
mkdir -p "$scratch/state/lists/partial" "$scratch/cache/archives/partial" "$scratch/root"
printf '%s\n' "$sources" >"$scratch/sources.list"
: >"$scratch/status" # as if nothing were installed: every package that the driver depends on is fetched

VALID=true
[ "$SUITE" != sid ] || VALID=false # mirrors that stand still keep lists of unstable that have expired
apt() {
  apt-get -qq -y -o Dir::State="$scratch/state" -o Dir::State::status="$scratch/status" -o Dir::Cache="$scratch/cache" \
    -o Dir::Etc::sourcelist="$scratch/sources.list" -o Dir::Etc::sourceparts=- -o Dir::Etc::preferencesparts=- \
    -o Dir::Etc::preferences=- -o Debug::NoLocking=1 -o APT::Sandbox::User=root -o Acquire::Languages=none \
    -o Acquire::Check-Valid-Until="$VALID" -o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 "$@" >"$scratch/log" 2>&1
}
# apt-get update ends with 0 when lists could not be reached; the download says it then.
# shellcheck disable=SC2086 # a list of words
apt update && apt install --download-only --no-install-recommends $PACKAGES ||
  refuse "cannot be fetched ($(grep '^E:' "$scratch/log" | head -n 1))"

for package in "$scratch"/cache/archives/*.deb; do
  dpkg-deb -x "$package" "$scratch/root" || refuse "cannot be unpacked"
done
# The tests use lavapipe only; the drivers of graphics cards, texts and programs are a third of it.
[ "$CARDS" = yes ] || find "$scratch/root" -name 'libvulkan_*.so' ! -name libvulkan_lvp.so -delete
rm -rf "$scratch/root/usr/share/doc" "$scratch/root/usr/share/locale" "$scratch/root/usr/share/i18n"
# Another run may have been faster.
mv -T "$scratch/root" "$folder" 2>/dev/null || [ -d "$folder" ] || refuse "cannot be moved to $folder"
echo "$folder"
