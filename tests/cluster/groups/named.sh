# flowd cannot be reached, and a replica is another one: who sends finds it by DNS.
named() {
  local pod uid address before
  pod=$(pod_of "$DEPLOYMENT" collect)
  address=$(k -n "$DEPLOYMENT" get pod "$pod" -o 'jsonpath={.status.podIP}')
  uid=$(k -n "$DEPLOYMENT" get pod "$pod" -o 'jsonpath={.metadata.uid}')
  # the node drops what this pod says to flowd
  sever() { in_net iptables "$1" FORWARD -s "$address" -p tcp --dport 9003 -j REJECT --reject-with tcp-reset; }
  # its task, and nothing else of the pod
  task() { in_node bash -c 'for pid in $(pgrep -x example-service); do if grep -q "$1" "/proc/$pid/cgroup"; then kill "$2" "$pid"; fi; done' _ "$uid" "$1"; }
  connected() { in_net curl -sS -m 5 "http://$address:7002/metrics" | sed -n 's/^flow_control_connected //p'; }
  calls() {
    local profit; profit=$(k -n "$DEPLOYMENT" get pod -l app=profit -o 'jsonpath={.items[0].status.podIP}')
    in_net curl -sS -m 5 "http://$profit:7002/metrics" | sed -n 's/^flow_task_requests_total{.* //p' | python3 -c 'import sys; print(sum(map(int, sys.stdin)))'
  }
  before=$(calls)
  task -STOP
  for it in 1 2 3; do flow run underpants '{}' >/dev/null; done
  check "instances are at a task" "[1-9]" open_ones
  sever -I
  check "its sidecar has no flowd" "^0$" connected
  k -n "$DEPLOYMENT" delete pod -l app=secret-sauce --force --grace-period=0 >/dev/null 2>&1
  k -n "$DEPLOYMENT" rollout status deploy/secret-sauce --timeout=60s >/dev/null
  k -n $NS scale statefulset flowd --replicas=0 >/dev/null
  WITHIN=30 check "and then nobody has one" "^0$" count flowd- k -n $NS get pod -l app.kubernetes.io/name=flowd --no-headers
  task -CONT
  check "instances go on to the replica that DNS names" "^$((before + 3))$" calls
  check "which its sidecar has asked" "replicas by DNS.*secret-sauce|secret-sauce.*replicas by DNS" k -n "$DEPLOYMENT" logs "$pod" -c flow-sidecar
  check "while flowd is away" "^0$" count flowd- k -n $NS get pod -l app.kubernetes.io/name=flowd --no-headers
  sever -D
  k -n $NS scale statefulset flowd --replicas=2 >/dev/null
  WITHIN=60 check "flowd is back" "rolling update complete|partitioned roll out complete" k -n $NS rollout status statefulset/flowd --timeout=60s
  rm -f "$WORK/flowd"
  WITHIN=60 check "and hears of all of them" "^\{'COMPLETED': [0-9]+\}$" states underpants
  check "the ledger saw no broken rule" "^0$" metric flow_ledger_alarms_total
}
