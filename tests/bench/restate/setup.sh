#!/bin/sh
# Installs the Restate server, its SDK and the Node release that the SDK wants into one cache folder,
# and prints that folder's arguments for bench-mesh.   usage: setup.sh [DIR]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/rexflow-bench/restate}
mkdir -p "$dir"
cp "$here/package.json" "$here/service.mjs" "$dir/"
(cd "$dir" && npm install --no-audit --no-fund --no-package-lock >&2)
server=$(find "$dir/node_modules/@restatedev" -type f -name restate-server -perm -u+x | grep -v musl | head -n 1)
[ -n "$server" ] || { echo "setup.sh: no restate-server for this machine in $dir" >&2; exit 1; }
printf -- '--restate %s --restate-service %s\n' "$server" "$dir"
