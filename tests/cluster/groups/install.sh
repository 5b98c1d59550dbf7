# The chart, and the tutorial's process.
install() {
  "$HERE/images.sh" load "$IMAGES"/*.tar
  # flowd's own etcd: two flowds, of which one leads
  [ -e "$RUN/store.pid" ] || rm -rf "$KWORK/store"
  [ -e "$RUN/store.pid" ] || daemon store "$BIN/etcd" --name store --data-dir "$KWORK/store" --unsafe-no-fsync --log-level warn \
    --listen-client-urls "http://$NODE_IP:3379" --advertise-client-urls "http://$NODE_IP:3379" --listen-peer-urls http://127.0.0.1:3380 \
    --initial-advertise-peer-urls http://127.0.0.1:3380 --initial-cluster store=http://127.0.0.1:3380
  chart
  check "the API server trusts the webhook" "^[A-Za-z0-9+/=]{100,} [A-Za-z0-9+/=]{100,}$" \
    k get mutatingwebhookconfiguration flow-sidecar-injector.$NS -o 'jsonpath={.webhooks[*].clientConfig.caBundle}'
  check "flowctl reaches flowd" "flowd +[0-9].*leads" flow version
}

tutorial() {
  check "the process is applied" "underpants-[0-9a-f]{8}" flow apply "$ROOT/examples/istio/underpants.bpmn"
  WITHIN=120 check "it is RUNNING" "underpants +RUNNING" flow ps -d
  check "check finds every hop port guarded" "ok +every hop port is guarded: 3 of 3" flow check
  check "and nothing that has failed" "^0$" count "^ +failed" flow check
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
