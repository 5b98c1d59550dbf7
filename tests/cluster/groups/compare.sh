# What it costs to leave the hops to the mesh: the tutorial's process with hop.tls mesh, own, and own without Istio, in turns. No group of the usual
# order: it measures, and wants a machine that does nothing else. ROUNDS=N turns (1), DRIVE=SECONDS for each measurement (10).

# The chart and the process, in mode $1, until everything serves
compared() {
  case $1 in
    mesh) chart --set hop.tls=mesh;;
    own) chart --set hop.tls=own;;
    without) chart --set orchestrator=kubernetes --set hop.tls=own;;
  esac
  until_ok 60 flow apply "$MODEL" >/dev/null
  encrypted() { k -n "$DEPLOYMENT" get pods -o 'jsonpath={range .items[*]}{.status.phase}={.spec.initContainers[?(@.name=="flow-sidecar")].env[?(@.name=="FLOW_HOP_TLS")].value},{end}'; }
  local wanted=own; [ "$1" != mesh ] || wanted=mesh
  WITHIN=180 check "$1: it is what the sidecars do" "^(Running=$wanted,){3}$" encrypted
  settled >/dev/null
  WITHIN=120 check "$1: it is RUNNING" "underpants +RUNNING" flow ps -d
  runs 50 5 underpants >"$WORK/runs"
  check "$1: instances complete" "^50$" grep -c "^done" "$WORK/runs"
}
compare() {
  local round mode flight url out
  for round in $(seq "${ROUNDS:-1}"); do
    for mode in mesh own without; do
      compared $mode
      url="http://$(k -n $NS get service flowd -o 'jsonpath={.spec.clusterIP}'):9002/start/underpants?wait=20s"
      for flight in 1 16; do
        out=$(in_net python3 "$ROOT/tests/cluster/drive.py" "$url" $flight "${DRIVE:-10}")
        WITHIN=0 check "$mode, $flight in flight: every instance has its result" '"wrong": \[\]' echo "$out"
        echo "{\"mode\": \"$mode\", \"flight\": $flight, \"round\": $round, \"it\": $out}" >>"$WORK/compared"
      done
    done
  done
  python3 - "$WORK/compared" <<'P'
import collections, json, statistics, sys
rows = collections.defaultdict(list)
for line in open(sys.argv[1]):
    it = json.loads(line)
    rows[it["flight"], it["mode"]].append(it["it"])
middle = lambda its, of: statistics.median(of(it) for it in its)
print("| hops | in flight | p50, ms | p99, ms | instances/s | CPU of an instance, ms: Istio's proxies | sidecars | flowd |")
print("|---|---|---|---|---|---|---|---|")
for (flight, mode), its in sorted(rows.items(), key=lambda it: it[0][0]):
    cpu = [middle(its, lambda it, name=name: it["cpu"][name]) for name in ("envoy", "flow-sidecar", "flowd")]
    print(f"| `{mode}` | {flight} | {middle(its, lambda it: it['p50']):.1f} | {middle(its, lambda it: it['p99']):.1f} "
          f"| {middle(its, lambda it: it['second']):.0f} | " + " | ".join(f"{it:.2f}" for it in cpu) + " |")
P
}
