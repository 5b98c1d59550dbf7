#!/usr/bin/env bash
# The mesh in a real cluster: installs the chart, runs the tutorial's process, and breaks things under load.
# tests.sh [GROUP...]; all groups by default. Needs the servers up (servers/up.sh) and the images (deploy/images/build.sh). Ends with "N passed, N failed".
set -uo pipefail
. "$(dirname "$0")/servers/env.sh"
ROOT=$(cd "$HERE/../../.." && pwd)
IMAGES=${IMAGES:-$IMGDIR/rexflow}
FLOWCTL=${FLOWCTL:-$ROOT/target/debug/flowctl}
WORK=$(mktemp -d)
NS=rexflow
PASS=0 FAIL=0

# check NAME WANTED-REGEX CMD... : runs CMD until its output matches, at most $WITHIN seconds
check() {
  local name=$1 want=$2 out end=$((SECONDS + ${WITHIN:-60})); shift 2
  while :; do
    out=$("$@" 2>&1)
    if grep -qE -- "$want" <<<"$out"; then
      PASS=$((PASS + 1)); say "ok    $name: $(grep -E -m1 -- "$want" <<<"$out" | cut -c1-160)"; return
    fi
    [ $SECONDS -lt $end ] || break
    sleep 0.5
  done
  FAIL=$((FAIL + 1)); say "FAIL  $name: wanted /$want/, got: $(cut -c1-800 <<<"$out")"
}
# never NAME FORBIDDEN-REGEX CMD... : CMD's output must not match, once
never() {
  local name=$1 bad=$2 out; shift 2
  out=$("$@" 2>&1)
  if grep -qE -- "$bad" <<<"$out"; then
    FAIL=$((FAIL + 1)); say "FAIL  $name: got: $(grep -E -m3 -- "$bad" <<<"$out" | cut -c1-400)"
  else
    PASS=$((PASS + 1)); say "ok    $name"
  fi
}
flow() { in_net "$FLOWCTL" "$@"; }
helm() { in_net "$BIN/helm" "$@"; }
# one line per object of ours, whatever its kind and namespace
ours() { k get ns,sa,svc,deploy,peerauthentication,authorizationpolicy,pods -A -l "app.kubernetes.io/managed-by=rexflow" --no-headers 2>&1; }
forward() { # flowctl's way in: a port-forward that begins anew when flowd's pod is replaced
  in_net bash -c 'while :; do "$1" ctl --kubeconfig "$2" -n "$3" port-forward service/flowd 9001 9002 >/dev/null 2>&1; sleep 0.2; done' \
    _ "$BIN/kube" "$KUBECONFIG" $NS & FORWARD=$!
}
finish() {
  [ -z "${FORWARD:-}" ] || { pkill -P "$FORWARD"; kill "$FORWARD"; } 2>/dev/null
  [ -z "${JAEGER:-}" ] || kill "$JAEGER" 2>/dev/null
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

install() {
  "$HERE/images.sh" load "$IMAGES"/*.tar
  # flowd's own etcd: two flowds, of which one leads
  [ -e "$RUN/store.pid" ] || rm -rf "$KWORK/store"
  [ -e "$RUN/store.pid" ] || daemon store "$BIN/etcd" --name store --data-dir "$KWORK/store" --unsafe-no-fsync --log-level warn \
    --listen-client-urls "http://$NODE_IP:3379" --advertise-client-urls "http://$NODE_IP:3379" --listen-peer-urls http://127.0.0.1:3380 \
    --initial-advertise-peer-urls http://127.0.0.1:3380 --initial-cluster store=http://127.0.0.1:3380
  helm upgrade --install rexflow "$ROOT/deploy/istio" -n $NS --create-namespace --timeout 120s \
    --set "store.etcd=etcd://$NODE_IP:3379/rexflow" --set replicas=2 --set "traces=http://$NODE_IP:4317" --set log.level=info >"$WORK/helm" 2>&1 || cat "$WORK/helm"
  check "one flowd leads" "^1$" bash -c "$(declare -f k in_net node_pid die say); BIN=$BIN RUN=$RUN KUBECONFIG=$KUBECONFIG; k -n $NS get pods --no-headers | grep -c '2/2 *Running'"
  check "the API server trusts the webhook" "^[A-Za-z0-9+/=]{100,} [A-Za-z0-9+/=]{100,}$" \
    k get mutatingwebhookconfiguration flow-sidecar-injector.$NS -o 'jsonpath={.webhooks[*].clientConfig.caBundle}'
  check "flowctl reaches flowd" "flowd" flow version
}

tutorial() {
  check "the process is applied" "underpants-[0-9a-f]{8}" flow apply "$ROOT/examples/istio/underpants.bpmn"
  WITHIN=120 check "it is RUNNING" "underpants +RUNNING" flow ps -d
  check "the sidecar runs behind Istio's proxy and before the task" "istio-proxy:Always flow-sidecar:Always" \
    k -n "$DEPLOYMENT" get pod -l app=collect -o 'jsonpath={range .items[0].spec.initContainers[*]}{.name}:{.restartPolicy} {end}'
  check "the pod is not root's" "true 65532" \
    k -n "$DEPLOYMENT" get pod -l app=collect -o 'jsonpath={range .items[0].spec.initContainers[?(@.name=="flow-sidecar")]}{.securityContext.runAsNonRoot} {.securityContext.runAsUser}{end}'
  check "an instance completes" "COMPLETED|Positive" flow run underpants '{}' --wait
  local before=$SECONDS
  runs 200 20 underpants >"$WORK/runs"
  check "200 instances at 20 in parallel complete" "^200$" grep -c "^done" "$WORK/runs"
  say "      200 instances in $((SECONDS - before)) s"
}

traces() {
  local instance
  instance=$(flow run underpants '{}' --wait -o=json | python3 -c 'import json,sys; print(json.load(sys.stdin)["id"])')
  spans() {
    in_net python3 - "$1" <<'P'
import json, sys, urllib.parse, urllib.request
tags = urllib.parse.quote(json.dumps({"bpmn.process.instance.id": sys.argv[1]}))
base = "http://127.0.0.1:16686/api"
found = {}
for service in json.load(urllib.request.urlopen(f"{base}/services"))["data"] or []:
    url = f"{base}/traces?service={urllib.parse.quote(service)}&tags={tags}&lookback=1h"
    for trace in json.load(urllib.request.urlopen(url))["data"]:
        found[trace["traceID"]] = trace
for trace in found.values():
    spans = {s["spanID"]: s for s in trace["spans"]}
    orphans = [s for s in spans.values() for r in s["references"] if r["refType"] == "CHILD_OF" and r["spanID"] not in spans]
    services = sorted({p["serviceName"] for p in trace["processes"].values()})
    print(f"traces={len(found)} spans={len(spans)} orphans={len(orphans)} services={','.join(services)}")
P
  }
  check "the instance is one trace in Jaeger with every hop, and every span has its parent" \
    "traces=1 .*orphans=0 services=collect\..*,flowd,profit\..*,secret-sauce\." spans "$instance"
}

guarded() {
  local address
  address=$(k -n "$DEPLOYMENT" get pod -l app=secret-sauce -o 'jsonpath={.items[0].status.podIP}')
  k create namespace stranger --dry-run=client -o yaml | k apply -f - >/dev/null
  k label namespace stranger istio-injection=enabled --overwrite >/dev/null
  until_ok 30 k -n stranger get serviceaccount default
  k -n stranger apply -f - >/dev/null <<Y
apiVersion: v1
kind: Pod
metadata: {name: thief, labels: {app: thief}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: thief
    image: $IMG/flow-sidecar:$VERSION
    args: [probe, started, --admin, "secret-sauce-flow.$DEPLOYMENT.svc.cluster.local:7001"]
  restartPolicy: Never
Y
  check "another service account is refused at the hop port" "answers 403|403 Forbidden" k -n stranger logs thief -c thief
  plain() { in_net curl -sS -m 5 --http2-prior-knowledge "http://$1:7001/" 2>&1; }
  check "plain text to the hop port is refused" "reset|closed|refused|not the right|Failure|failed" plain "$address"
  local before after
  before=$(flow ps -i -o=name | wc -l)
  in_net curl -sS -m 5 -X POST -H 'content-type: application/json' -H 'x-rexflow-iid: forged' -H 'x-flow-id: forged' -d '{}' "http://$address:5000/" >/dev/null
  after=$(flow ps -i -o=name | wc -l)
  check "a forged request to the task's own port starts nothing" "^same$" bash -c "[ $before = $after ] && echo same"
}

# Instances go on all the time while COMMAND breaks things, and a while after; each must complete.
under_load() { # under_load NAME COMMAND...
  local name=$1 load; shift
  touch "$WORK/loading"
  while [ -e "$WORK/loading" ]; do runs 12 6 underpants; done >"$WORK/load" & load=$!
  "$@" >"$WORK/broken" 2>&1 || cat "$WORK/broken"
  rm "$WORK/loading"
  wait $load
  local all; all=$(wc -l <"$WORK/load")
  check "$name: all $all instances complete" "^$all$" grep -c "^done" "$WORK/load"
  grep -v "^done" "$WORK/load" | head -3
}
settled() { # every task has a ready pod with its sidecar
  for task in collect secret-sauce profit; do k -n "$DEPLOYMENT" rollout status "deploy/$task" --timeout=90s; done
}

broken() {
  restart() { for task in collect secret-sauce profit; do k -n "$DEPLOYMENT" rollout restart "deploy/$task"; done; settled; }
  under_load "rollout restart of every task" restart
  scale() { k -n "$DEPLOYMENT" scale deploy/secret-sauce --replicas=3; settled; k -n "$DEPLOYMENT" scale deploy/secret-sauce --replicas=1; }
  under_load "scale 1 -> 3 -> 1" scale
  check "flowd leaves the number of replicas to others" "^1$" k -n "$DEPLOYMENT" get deploy secret-sauce -o 'jsonpath={.spec.replicas}'
  pods() { for task in collect secret-sauce profit; do k -n "$DEPLOYMENT" delete pod -l "app=$task" --wait=false; settled; done; }
  under_load "delete of each task's pods" pods
  image() { k -n "$DEPLOYMENT" set env deploy/secret-sauce SWAPPED=yes; settled; }
  under_load "a new version of a task's pods, by kubectl alone" image
  mesh() { k -n istio-system scale deploy/istiod --replicas=0; sleep 15; k -n istio-system scale deploy/istiod --replicas=1; k -n istio-system rollout status deploy/istiod --timeout=120s; }
  under_load "istiod away" mesh
  flowds() { for it in 0 1; do k -n $NS delete pod flowd-$it; sleep 2; k -n $NS wait --for=condition=Ready pod -l app.kubernetes.io/name=flowd --timeout=10s; done; true; }
  under_load "delete of each flowd" flowds
  api() { in_node kill -STOP "$(cat "$RUN/apiserver.pid")"; sleep "${OUTAGE:-15}"; in_node kill -CONT "$(cat "$RUN/apiserver.pid")"; until_ok 60 k get --raw /readyz; }
  under_load "the API server away" api
  check "none ended otherwise, and none is open" "^\{'COMPLETED': [0-9]+\}$" states underpants
}

drift() {
  k -n "$DEPLOYMENT" delete service collect-flow >/dev/null
  check "an object that was deleted is there again" "^service/collect-flow" k -n "$DEPLOYMENT" get service collect-flow -o name
  k -n "$DEPLOYMENT" patch service collect-flow --type=json -p '[{"op":"replace","path":"/spec/ports/0/port","value":7777}]' >/dev/null
  check "a port that was changed is taken back" "^7001$" k -n "$DEPLOYMENT" get service collect-flow -o 'jsonpath={.spec.ports[*].port}'
  k -n "$DEPLOYMENT" label service collect-flow team=shop >/dev/null
  k -n "$DEPLOYMENT" patch service collect-flow --type=json -p '[{"op":"replace","path":"/spec/selector/app","value":"nobody"}]' >/dev/null
  check "what was changed of ours is taken back" "^collect$" k -n "$DEPLOYMENT" get service collect-flow -o 'jsonpath={.spec.selector.app}'
  check "what is somebody else's stays" "^shop$" k -n "$DEPLOYMENT" get service collect-flow -o 'jsonpath={.metadata.labels.team}'
}

shared() { # two processes, one service that was there before
  k create namespace kitchen --dry-run=client -o yaml | k apply -f - >/dev/null
  until_ok 30 k -n kitchen get serviceaccount default
  k apply -f - >/dev/null <<Y
apiVersion: apps/v1
kind: Deployment
metadata: {name: secret-sauce, namespace: kitchen}
spec:
  selector: {matchLabels: {app: secret-sauce}}
  template:
    metadata: {labels: {app: secret-sauce}}
    spec: {containers: [{name: main, image: "$IMG/example-secret-sauce:$VERSION", ports: [{containerPort: 5000}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: secret-sauce, namespace: kitchen}
spec: {selector: {app: secret-sauce}, ports: [{port: 80, targetPort: 5000}]}
Y
  local model=$ROOT/examples/istio/underpants.bpmn to
  for to in one two; do
    python3 - "$model" "$to" >"$WORK/$to.bpmn" <<'P'
import re, sys
text = open(sys.argv[1]).read().replace('<bpmn:process id="underpants"', f'<bpmn:process id="{sys.argv[2]}"')
text = re.sub(r"rexflow:\n  service:\n    host: secret-sauce\n.*\n.*\n.*</bpmn:text>",
              "rexflow:\n  preexisting: true\n  service:\n    host: secret-sauce\n    namespace: kitchen\n    port: 80</bpmn:text>", text)
if sys.argv[2] == "two":
    settings = "rexflow_global_properties:\n  namespace_shared: true\n  namespace: pantry"
    text = text.replace("</bpmn:process>", f'<bpmn:textAnnotation id="global"><bpmn:text>{settings}</bpmn:text></bpmn:textAnnotation></bpmn:process>')
print(text)
P
  done
  k create namespace pantry --dry-run=client -o yaml | k apply -f - >/dev/null
  k label namespace pantry rexflow.io/injection=enabled istio-injection=enabled --overwrite >/dev/null
  flow apply "$WORK/one.bpmn" "$WORK/two.bpmn" >/dev/null
  WITHIN=120 check "two processes that share a service are RUNNING" "^3$" bash -c "$(declare -f flow in_net node_pid die say); BIN=$BIN RUN=$RUN FLOWCTL=$FLOWCTL; flow ps -d | grep -c RUNNING"
  check "in the shared namespace the names end with the hash" "collect-[0-9a-f]{8}" k -n pantry get deploy
  runs 20 10 one >"$WORK/first" & local first=$!
  runs 20 10 two >"$WORK/second"
  wait $first
  check "20 instances of the first complete" "^20$" grep -c "^done" "$WORK/first"
  check "20 instances of the second complete" "^20$" grep -c "^done" "$WORK/second"
}

bad() {
  local model=$ROOT/examples/istio/underpants.bpmn
  sed -e 's/process id="underpants"/process id="imageless"/; s/bpmnElement="underpants"/bpmnElement="imageless"/' \
    -e 's#localhost/example-profit:#localhost/no-such-image:#' "$model" >"$WORK/bad.bpmn"
  flow apply "$WORK/bad.bpmn" >/dev/null
  WITHIN=90 check "an image that does not exist is told with its task" "task profit.*pod .*(ErrImage|ImagePull)" flow describe imageless
  python3 - "$model" >"$WORK/foreign.bpmn" <<'P'
import sys
text = open(sys.argv[1]).read().replace('<bpmn:process id="underpants"', '<bpmn:process id="foreign"')
settings = "rexflow_global_properties:\n  namespace_shared: true\n  namespace: no-such-namespace"
print(text.replace("</bpmn:process>", f'<bpmn:textAnnotation id="global"><bpmn:text>{settings}</bpmn:text></bpmn:textAnnotation></bpmn:process>'))
P
  flow apply "$WORK/foreign.bpmn" >/dev/null
  check "a namespace that is not there is told with its task" "task collect: .*no-such-namespace.*not found" flow describe foreign
  for it in imageless foreign; do flow stop -d "$it" --force >/dev/null; flow delete -d "$it" --force >/dev/null; done
  check "nothing half-made stays" "^0$" bash -c "$(declare -f ours k in_net node_pid die say); BIN=$BIN RUN=$RUN KUBECONFIG=$KUBECONFIG; ours | grep -cE 'imageless|foreign'"
}

gone() {
  for it in one two underpants; do flow stop -d "$it" --force >/dev/null 2>&1; flow delete -d "$it" --force >/dev/null 2>&1; done
  WITHIN=120 check "stop and delete leave nothing behind" "No resources found" ours
  check "what was there before is there still" "secret-sauce" k -n kitchen get deploy,svc
  k delete namespace kitchen pantry stranger --wait=false >/dev/null 2>&1
  helm uninstall rexflow -n $NS --wait >/dev/null 2>&1
  never "uninstall leaves nothing of the cluster's" "flowd|flow-sidecar" k get clusterrole,clusterrolebinding,mutatingwebhookconfiguration -o name
}

DEPLOYMENT=underpants-$(flow validate "$ROOT/examples/istio/underpants.bpmn" -o=name | sed 's/.*underpants-//')
VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml" | head -1)
in_net env COLLECTOR_OTLP_ENABLED=true "$BIN/jaeger" --log-level error >"$LOG/jaeger.log" 2>&1 & JAEGER=$!
forward
[ $# -gt 0 ] || set -- install tutorial traces guarded broken drift shared bad gone
for group in "$@"; do start=$SECONDS; say "--- $group"; "$group"; say "--- $group: $((SECONDS - start)) s"; done
echo "$PASS passed, $FAIL failed"
[ $FAIL = 0 ]
