#!/usr/bin/env bash
# The mesh in a real cluster: installs the chart, runs the tutorial's process, and breaks things under load.
# tests.sh [GROUP...]; all groups by default, in this order. LONG=SECONDS: each thing is broken again and again for so long. Needs the servers up (servers/up.sh) and the images (deploy/images/build.sh).
# Ends with "N passed, N failed".
set -uo pipefail
. "$(dirname "$0")/servers/env.sh"
. "$(dirname "$0")/lib.sh"
for file in "$(dirname "$0")"/groups/*.sh; do . "$file"; done

DEPLOYMENT=underpants-$(flow validate "$MODEL" -o=name | sed 's/.*underpants-//')
VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml" | head -1)
in_net env COLLECTOR_OTLP_ENABLED=true "$BIN/jaeger" --log-level error >"$LOG/jaeger.log" 2>&1 & JAEGER=$!
forward
[ $# -gt 0 ] || set -- rendered unaided install tutorial traces forwarded gateway users guarded identity broken lost named swap in_place drift workflow_crd shared bad own gone without
# no helper of a group may take the name of another group
readonly -f "$@"
for group in "$@"; do start=$SECONDS; say "--- $group"; "$group"; say "--- $group: $((SECONDS - start)) s"; done
echo "$PASS passed, $FAIL failed"
[ $FAIL = 0 ]
