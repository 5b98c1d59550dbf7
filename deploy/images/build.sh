#!/usr/bin/env bash
# Builds the images as OCI tars, without a container engine: build.sh [DIR]; target/images by default.
# One static binary each and nothing else. PROFILE=release builds faster, dist (the default) runs faster; PROGRAMS=DIR takes static programs that are
# there already, as tools/dist/build.sh makes them, which run fastest.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${1:-$root/target/images}
profile=${PROFILE:-dist}
prefix=${IMAGE_PREFIX:-localhost}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -1)
triple=$(rustc -vV | sed -n 's/^host: //p')
cd "$root"
bin=${PROGRAMS:-${CARGO_TARGET_DIR:-$root/target}/$triple/$profile}
if [ -z "${PROGRAMS:-}" ]; then
  # static: the C library is in the binary, and the image needs none. For the target alone, not for build scripts and macros.
  RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --profile "$profile" --target "$triple" \
    --bin flowd --bin flow-sidecar --bin example-service
fi
mkdir -p "$out"
image() { # image NAME BINARY ARGUMENT...
  local name=$1 binary=$2 entry=() word
  shift 2
  for word in "/$binary" "$@"; do entry+=(--entrypoint="$word"); done
  "$here/image.py" "$out/$name.tar" "$prefix/$name:$version" --file "$bin/$binary:/$binary:755" \
    --dir /tmp:1777 --dir /var/lib/flow:700:65532 --user 65532:65532 "${entry[@]}"
}
image flowd flowd
image flow-sidecar flow-sidecar
for service in collect secret-sauce profit; do
  image "example-$service" example-service "$service" --bind 0.0.0.0 --port 5000
done
