#!/bin/sh
# Installs a software Vulkan driver that Dawn accepts (Mesa 25 or newer), on Debian and what derives from it.
# Debian 12 has it in the suite bookworm-backports; the mirror and the key are those that apt uses already.
#
#   scripts/setup-debian.sh             asks first, unless it runs as root or in CI
#   scripts/setup-debian.sh --browser   Chromium and Firefox too, for the browser tests
#   scripts/setup-debian.sh --queue     Valkey or Redis too, for the tests of fleets; both flags may be given
#   scripts/setup-debian.sh --dry-run   only prints what it would do
#
# Running it again changes nothing. On other systems it prints the line to type and ends with status 3.
set -eu

WANTED=25
SOURCES_NAME=pentimento-backports.sources
ROOT=${SETUP_ROOT:-} # tests put a made-up /etc below it
. "$(dirname "$0")/apt-sources.sh"
BROWSER=no
QUEUE=no
DRY=no
for argument in "$@"; do
  case $argument in
    --browser) BROWSER=yes ;;
    --queue) QUEUE=yes ;;
    --dry-run) DRY=yes ;;
    *)
      echo "setup-debian.sh: unknown argument '$argument'; it takes --browser, --queue and --dry-run" >&2
      exit 2
      ;;
  esac
done

say() { echo "setup: $*" >&2; }

major() { # major VERSION: 25 of 25.0.7-2~bpo12+1, 0 of nothing
  number=$(printf '%s' "${1#*:}" | sed 's/[^0-9].*//')
  echo "${number:-0}"
}

installed() { # installed PACKAGE: its version, empty without it
  [ -n "$ROOT" ] && return 0
  dpkg-query -W -f='${Status} ${Version}\n' "$1" 2>/dev/null | sed -n 's/^install ok installed //p' | head -n 1
}

candidate() { # candidate PACKAGE: the version that apt would install by itself
  if [ -n "$ROOT" ]; then
    cat "$ROOT/candidate-$1" 2>/dev/null || true
  else
    apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: //p'
  fi
}

# Runs a command as root; only prints it in a dry run.
as_root() {
  if [ "$DRY" = yes ]; then
    echo "$*"
  elif [ "$(id -u)" = 0 ]; then
    "$@"
  else
    sudo "$@"
  fi
}

write_sources() {
  read -r uri key <<EOF
$1
EOF
  text="Types: deb
URIs: $uri
Suites: bookworm-backports
Components: main"
  [ "$key" = - ] || text="$text
Signed-By: $key"
  if [ "$DRY" = yes ]; then
    printf 'write /etc/apt/sources.list.d/%s\n%s\n' "$SOURCES_NAME" "$text"
  else
    printf '%s\n' "$text" | as_root tee "/etc/apt/sources.list.d/$SOURCES_NAME" >/dev/null
  fi
}

confirm() {
  [ "$DRY" = yes ] && return 0
  [ "$(id -u)" = 0 ] && return 0
  if ! command -v sudo >/dev/null 2>&1; then
    say "needs root and there is no sudo. Type as root: sh $0 $*"
    exit 3
  fi
  [ -n "${CI:-}" ] && return 0
  if [ ! -t 0 ]; then
    say "will not install without asking. Type: sudo sh $0 $*"
    exit 3
  fi
  printf 'setup: install %s with sudo? [y/N] ' "$PACKAGES $CHROMIUM $FIREFOX $SERVER" >&2
  read -r answer
  case $answer in
    y | Y | yes) ;;
    *)
      say "nothing was installed"
      exit 3
      ;;
  esac
}

elsewhere() {
  case " $(field ID) $(field ID_LIKE) " in
    *" fedora "* | *" rhel "*) line="sudo dnf install mesa-vulkan-drivers vulkan-loader" ;;
    *" arch "*) line="sudo pacman -S vulkan-swrast vulkan-icd-loader" ;;
    *" alpine "*) line="sudo apk add mesa-vulkan-swrast vulkan-loader" ;;
    *suse*) line="sudo zypper install libvulkan_lvp libvulkan1" ;;
    *) line="" ;;
  esac
  if [ -n "$line" ]; then
    say "this is not Debian. Type: $line"
  else
    say "this is not Debian. Install a Vulkan driver: your card's, or Mesa's lavapipe, $WANTED or newer"
  fi
  exit 3
}

case " $(field ID) $(field ID_LIKE) " in
  *" debian "* | *" ubuntu "*) ;;
  *) elsewhere ;;
esac

PACKAGES=""
CHROMIUM=""
FIREFOX=""
SERVER=""
TARGET=""
BACKPORTS=no
if [ "$(major "$(installed mesa-vulkan-drivers)")" -lt "$WANTED" ]; then
  PACKAGES="mesa-vulkan-drivers libvulkan1"
  [ "$(major "$(candidate mesa-vulkan-drivers)")" -ge "$WANTED" ] || BACKPORTS=yes
elif [ -z "$(installed libvulkan1)" ]; then
  PACKAGES="libvulkan1"
fi
if [ "$BROWSER" = yes ] && [ -z "$(installed chromium)" ] && { [ -n "$ROOT" ] || [ ! -x /usr/bin/chromium ]; }; then
  CHROMIUM=chromium
fi
if [ "$BROWSER" = yes ] && { [ -n "$ROOT" ] || { [ ! -x /usr/bin/firefox-esr ] && [ ! -x /usr/bin/firefox ]; }; }; then
  FIREFOX=firefox-esr # Debian's; Ubuntu has another
  [ "$(field ID)" = debian ] || FIREFOX=firefox
fi
if [ "$QUEUE" = yes ] && [ -z "$(installed valkey-server)$(installed redis-server)" ] &&
  { [ -n "$ROOT" ] || { [ ! -x /usr/bin/valkey-server ] && [ ! -x /usr/bin/redis-server ]; }; }; then
  SERVER=redis-server # where there is no Valkey
  [ "$(major "$(candidate valkey-server)")" -lt 7 ] || SERVER=valkey-server
fi
if [ -z "$PACKAGES$CHROMIUM$FIREFOX$SERVER" ]; then
  say "nothing to do: Mesa $(installed mesa-vulkan-drivers) is installed"
  exit 0
fi

confirm "$@"
if [ "$BACKPORTS" = yes ] && [ "$(field VERSION_CODENAME)" = bookworm ] && [ "$(field ID)" = debian ]; then
  TARGET="-t bookworm-backports"
  if [ -z "$(archive_of bookworm-backports)" ]; then
    archive=$(archive_of bookworm | head -n 1)
    [ -n "$archive" ] || archive="http://deb.debian.org/debian /usr/share/keyrings/debian-archive-keyring.gpg"
    write_sources "$archive"
  fi
elif [ "$BACKPORTS" = yes ]; then
  as_root apt-get update -qq
  if [ "$DRY" = no ] && [ "$(major "$(candidate mesa-vulkan-drivers)")" -lt "$WANTED" ]; then
    say "this release has no Mesa $WANTED; use a newer one, or a driver for your graphics card"
    exit 3
  fi
fi
export DEBIAN_FRONTEND=noninteractive
as_root apt-get update -qq
# shellcheck disable=SC2086 # lists of words
[ -z "$PACKAGES" ] || as_root apt-get install -y -qq --no-install-recommends $TARGET $PACKAGES
[ -z "$CHROMIUM" ] || as_root apt-get install -y -qq --no-install-recommends "$CHROMIUM"
[ -z "$FIREFOX" ] || as_root apt-get install -y -qq --no-install-recommends "$FIREFOX" ||
  say "Firefox cannot be installed; its tests will fail. FIREFOX_PATH names one that lies elsewhere"
[ -z "$SERVER" ] || as_root apt-get install -y -qq --no-install-recommends "$SERVER"
say "done"
