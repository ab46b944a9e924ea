# What the scripts here share; sourced by them, from the root of the source tree.
#
# The compiler: Debian sid's, of this very version, also for the static runtime of the other architecture, since
# compiled Swift modules do not load across versions.
swiftlang=${SWIFTLANG:-6.2.3-1}
# Where Debian's packages come from: this machine's own mirror, unless said otherwise.
mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' | awk '/\/debian\/*$/ && !seen++')}
mirror=${mirror:-http://deb.debian.org/debian}
# The Debian that packages are for unless said otherwise.
current=13
# Root folders, and what was built in them. Everything is made under another name and moved here when it is complete.
cache=$PWD/.build-deb
mkdir -p "$cache"

# copy_source FOLDER OS-RELEASE -- what is packaged into FOLDER, without what was built, for the Debian that the file
# OS-RELEASE names.
copy_source() {
  local release
  rm -rf "$1"
  mkdir -p "$1"
  tar -c --exclude='./.build*' --exclude=./.git . | tar -x -C "$1"
  release=$(. "$2"; echo "${VERSION_ID:-}")
  # Less than the version for the current Debian, which takes its place when the board is upgraded.
  [ "$release" = "$current" ] || sed -i "1s/)/~deb$release)/" "$1/debian/changelog"
}

# make_root NAME SUITE OPTIONS... -- unpacks and configures Debian SUITE for amd64 and arm64 in $cache/NAME, once: again
# only when it is asked for with other options. Nothing is installed on this machine.
make_root() {
  if [ "$(id -u)" -ne 0 ]; then
    echo "$0: needs root, to unpack Debian's packages and to work in them (chroot). Try: sudo make deb" >&2
    exit 77
  fi
  local name=$1 suite=$2 root=$cache/$1
  shift 2
  local wanted="$suite $mirror $*"
  [ "$(cat "$root.made" 2>/dev/null)" != "$wanted" ] || return 0
  echo "$root: unpacking Debian $suite"
  rm -rf --one-file-system "$root.new"
  # What is pinned may lie on a mirror that was frozen: signatures count, their expiry does not.
  mmdebstrap --quiet --mode=root --architectures=amd64,arm64 --aptopt='Acquire::Check-Valid-Until "false"' \
    "$@" "$suite" "$root.new" \
    "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
  rm -rf --one-file-system "$root"
  mv "$root.new" "$root"
  echo "$wanted" >"$root.made"
}

# enter ROOT FOLDER:PLACE... -- COMMAND... -- runs COMMAND in a root folder, with folders and files of this machine in
# it. The mounts are its own, and go when it ends, however it ends.
enter() {
  local root=$1 name environment=(PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8)
  shift
  for name in http_proxy https_proxy no_proxy; do [ -z "${!name-}" ] || environment+=("$name=${!name}"); done
  # shellcheck disable=SC2016
  env -i "${environment[@]}" unshare --mount --pid --fork --kill-child --mount-proc="$root/proc" bash -euc '
    root=$1; shift
    while [ "$1" != -- ]; do
      place=$root${1#*:}
      if [ -d "${1%%:*}" ]; then mkdir -p "$place"; elif [ ! -e "$place" ]; then touch "$place"; fi
      mount --rbind "${1%%:*}" "$place"
      shift
    done
    shift
    exec chroot "$root" "$@"
  ' enter "$root" /dev:/dev /etc/resolv.conf:/etc/resolv.conf "$@"
}
