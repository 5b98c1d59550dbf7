#!/usr/bin/env bash
# Builds what is shipped and measured, with flowd and flow-sidecar optimised by a profile of themselves: tools/dist/build.sh. Prints the folder that
# the programs are in.
#
# First programs that count what they do, then `bench-mesh` on them for half a minute, which makes the profile, then the programs that are optimised by it.
# Takes more than twice as long as `cargo build --profile dist`, which makes the same programs without a profile. Needs the toolchain's llvm-tools
# (`rustup component add llvm-tools`). The profile stays in target/pgo; PROFILE_KEEP=1 takes it again.
set -euo pipefail
cd "$(dirname "$0")/../.."
triple=$(rustc -vV | sed -n 's/^host: //p')
merge=$(rustc --print sysroot)/lib/rustlib/$triple/bin/llvm-profdata
[ -x "$merge" ] || { echo "no llvm-profdata: rustup component add llvm-tools" >&2; exit 1; }
target=${CARGO_TARGET_DIR:-$PWD/target}/pgo
profile=$target/profile.profdata
plain=$target/plain/$triple/dist counted=$target/counted/$triple/dist used=$target/used/$triple/dist

# build FOLDER FLAGS PROGRAM... : for the target alone, not for build scripts and macros; the C library is in the programs, so that they run everywhere
build() {
  local folder=$1 flags=$2 bins=(); shift 2
  for bin in "$@"; do bins+=(--bin "$bin"); done
  RUSTFLAGS="-C target-feature=+crt-static $flags" cargo build --locked --profile dist --target "$triple" --target-dir "$target/$folder" "${bins[@]}"
}
others="flowctl example-service bench-mesh"

build plain "" $others
if [ -z "${PROFILE_KEEP:-}" ] || [ ! -e "$profile" ]; then
  rm -rf "$target/counts"
  build counted "-C profile-generate=$target/counts" flowd flow-sidecar
  for other in $others; do cp "$plain/$other" "$counted/"; done
  for flight in 1 32; do "$counted/bench-mesh" --pin --in-flight "$flight" --rounds 1 --seconds 12 --data-dir "$target" >&2; done
  "$merge" merge -o "$profile" "$target/counts"
fi
# what the benchmark does not come by has no counts, which is not worth a warning each
build used "-C profile-use=$profile -C llvm-args=-pgo-warn-missing-function=false" flowd flow-sidecar
for other in $others; do cp "$plain/$other" "$used/"; done
echo "$used"
