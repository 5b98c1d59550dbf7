# What the groups of tests are made of. Sourced by tests.sh.
ROOT=$(cd "$HERE/../../.." && pwd)
IMAGES=${IMAGES:-$IMGDIR/rexflow}
FLOWCTL=${FLOWCTL:-$ROOT/target/debug/flowctl}
SIDECAR=${SIDECAR:-$ROOT/target/debug/flow-sidecar}
WORK=$(mktemp -d)
NS=rexflow
PASS=0 FAIL=0
MODEL=$ROOT/examples/istio/underpants.bpmn
TASKS="collect secret-sauce profit"

pass() { PASS=$((PASS + 1)); say "ok    $1 ($((SECONDS - $2)) s)${3:+: $3}"; }
fail() { FAIL=$((FAIL + 1)); say "FAIL  $1 ($((SECONDS - $2)) s): $3"; }
# check NAME WANTED-REGEX CMD... : runs CMD until its output matches, at most $WITHIN seconds
check() {
  local name=$1 want=$2 out since=$SECONDS end=$((SECONDS + ${WITHIN:-60})); shift 2
  while :; do
    out=$("$@" 2>&1)
    if grep -qE -- "$want" <<<"$out"; then
      pass "$name" $since "$(grep -E -m1 -- "$want" <<<"$out" | cut -c1-160)"; return
    fi
    [ $SECONDS -lt $end ] || break
    sleep 0.5
  done
  fail "$name" $since "wanted /$want/, got: $(cut -c1-800 <<<"$out")"
}
# never NAME FORBIDDEN-REGEX CMD... : CMD's output must not match, once
never() {
  local name=$1 bad=$2 out since=$SECONDS; shift 2
  out=$("$@" 2>&1)
  if grep -qE -- "$bad" <<<"$out"; then
    fail "$name" $since "got: $(grep -E -m3 -- "$bad" <<<"$out" | cut -c1-400)"
  else
    pass "$name" $since
  fi
}
flow() { in_net "$FLOWCTL" "$@"; }
helm() { in_net "$BIN/helm" "$@"; }
# count REGEX CMD... : how many lines of its output match
count() { local regex=$1; shift; "$@" 2>&1 | grep -cE -- "$regex"; }
# one line per object of ours, whatever its kind and namespace
ours() { k get ns,sa,svc,deploy,peerauthentication,authorizationpolicy,pods -A -l "app.kubernetes.io/managed-by=rexflow" --no-headers 2>&1; }
forward() { # flowctl's way in: a port-forward that begins anew when flowd's pod is replaced
  in_net bash -c 'echo $$ >"$4"; while :; do "$1" ctl --kubeconfig "$2" -n "$3" port-forward service/flowd 9001 9002 >/dev/null 2>&1; sleep 0.2; done' \
    _ "$BIN/kube" "$KUBECONFIG" $NS "$WORK/forward" &
}
unforward() { # what runs in the node's network is no child of this shell
  local loop
  [ -s "$WORK/forward" ] || return 0
  loop=$(<"$WORK/forward")
  rm "$WORK/forward"
  { local children; children=$(pgrep -P "$loop"); kill "$loop" $children; } 2>/dev/null
}
finish() {
  unforward
  [ -z "${JAEGER:-}" ] || { pkill -P "$JAEGER"; kill "$JAEGER"; } 2>/dev/null
  pkill -P $$ 2>/dev/null
  rm -rf "$WORK"
}
trap finish EXIT

# runs COUNT PARALLEL PROCESS : starts instances over HTTP and waits for their results; a call that broke off is made again with its key, which
# starts nothing new. One line each: "done", or what it came to.
runs() {
  # asked once: the API server may be away later
  [ -s "$WORK/flowd" ] || k -n $NS get service flowd -o 'jsonpath={.spec.clusterIP}' >"$WORK/flowd"
  local flowd; flowd=$(<"$WORK/flowd")
  seq "$1" | in_net xargs -P "$2" -I% bash -c '
    end=$((SECONDS + 120))
    while [ $SECONDS -lt $end ]; do
      answer=$(curl -sS -m 15 -X POST -H "content-type: application/json" -H "Idempotency-Key: \"$2-%\"" -d "{}" "http://$0:9002/start/$1?wait=10s" 2>&1)
      case $answer in *Positive*) echo done; exit;; esac
      sleep 1
    done
    echo "not done: $answer"' "$flowd" "$3" "$3-$RANDOM$RANDOM"
}
# all instances of a process, by state
states() { flow ps --of "$1" --limit 100000 -o=json | python3 -c 'import collections,json,sys; print(dict(collections.Counter(i["state"] for i in json.load(sys.stdin))))'; }


# chart OPTION... : the chart, as the groups want it; and until it serves
chart() {
  helm upgrade --install rexflow "$ROOT/deploy/istio" -n $NS --create-namespace --timeout 120s \
    --set "store.etcd=etcd://$NODE_IP:3379/rexflow" --set replicas=2 --set "traces=http://$NODE_IP:4317" --set log.level=info \
    --set identity.certificateLife=40 --set identity.caLife=400 "$@" >"$WORK/helm" 2>&1 || cat "$WORK/helm"
  WITHIN=120 check "two flowds answer, of which one leads" "rolling update complete|partitioned roll out complete" k -n $NS rollout status statefulset/flowd --timeout=100s
  rm -f "$WORK/flowd"
}
# metric NAME : of all flowds together; the one that stands by counts nothing
metric() {
  local address
  for address in $(k -n $NS get pod -l app.kubernetes.io/name=flowd -o 'jsonpath={.items[*].status.podIP}'); do
    in_net curl -sS -m 5 "http://$address:9002/metrics" 2>/dev/null | sed -n "s/^$1\({[^}]*}\)\? //p"
  done | python3 -c 'import sys; print(sum(map(int, sys.stdin)))'
}
open_ones() { metric flow_instances_active; }
# Instances go on all the time while COMMAND breaks things, and a while after; each must complete, once.
under_load() { # under_load NAME COMMAND...
  local name=$1 load all end=$((SECONDS + ${LONG:-0})); shift
  touch "$WORK/loading"
  while [ -e "$WORK/loading" ]; do runs 12 6 underpants; done >"$WORK/load" & load=$!
  while "$@" >"$WORK/broken" 2>&1 || cat "$WORK/broken"; [ $SECONDS -lt $end ]; do :; done
  rm "$WORK/loading"
  wait $load
  all=$(wc -l <"$WORK/load")
  check "$name: all $all instances complete" "^$all$" grep -c "^done" "$WORK/load"
  grep -v "^done" "$WORK/load" | head -3
  check "and none ends twice" "^0$" metric flow_ledger_alarms_total
}
settled() { # every task has a ready pod with its sidecar
  for task in $TASKS; do k -n "$DEPLOYMENT" rollout status "deploy/$task" --timeout=90s; done
}
# calls_of NAMESPACE : how many calls the sidecar of its secret-sauce has made
calls_of() {
  local address; address=$(k -n "$1" get pod -l app=secret-sauce --field-selector status.phase=Running -o 'jsonpath={.items[0].status.podIP}')
  in_net curl -sS -m 5 "http://$address:7002/metrics" | sed -n 's/^flow_task_requests_total{.* //p' | python3 -c 'import sys; print(sum(map(int, sys.stdin)))'
}
