# Things break under load, and change under flowd's hands. Each once; with LONG=SECONDS again and again for so long; OUTAGE=SECONDS: so long are istiod and the API server away.
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
  mesh() { k -n istio-system scale deploy/istiod --replicas=0; sleep "${OUTAGE:-15}"; k -n istio-system scale deploy/istiod --replicas=1; k -n istio-system rollout status deploy/istiod --timeout=120s; }
  under_load "istiod away" mesh
  flowds() { for it in 0 1; do k -n $NS delete pod flowd-$it; sleep 2; k -n $NS wait --for=condition=Ready pod -l app.kubernetes.io/name=flowd --timeout=10s; done; true; }
  under_load "delete of each flowd" flowds
  api() { in_node kill -STOP "$(cat "$RUN/apiserver.pid")"; sleep "${OUTAGE:-15}"; in_node kill -CONT "$(cat "$RUN/apiserver.pid")"; until_ok 60 k get --raw /readyz; }
  under_load "the API server away" api
  check "none ended otherwise, and none is open" "^\{'COMPLETED': [0-9]+\}$" states underpants
}

# A pod goes without a word, with tokens that it was offered and has not answered
lost() {
  local pod uid before
  pod=$(pod_of "$DEPLOYMENT" collect)
  uid=$(k -n "$DEPLOYMENT" get pod "$pod" -o 'jsonpath={.metadata.uid}')
  lost_ones() { metric flow_sidecars_lost_total; }
  before=$(lost_ones)
  in_node bash -c 'for pid in $(pgrep -x flow-sidecar); do if grep -q "$1" "/proc/$pid/cgroup"; then kill -STOP "$pid"; fi; done' _ "$uid"
  for it in 1 2 3 4 5; do flow run underpants '{}' >/dev/null; done
  check "its sidecar stands still, and instances wait for it" "[1-9]" open_ones
  k -n "$DEPLOYMENT" delete pod "$pod" --force --grace-period=0 >/dev/null 2>&1
  WITHIN=90 check "what a pod that is gone had not answered is done by another" "^0$" open_ones
  check "flowd counts it as lost" "^$((before + 1))$" lost_ones
  check "none ended otherwise" "^\{'COMPLETED': [0-9]+\}$" states underpants
  check "the ledger saw no broken rule" "^0$" metric flow_ledger_alarms_total
}

# Another image for a task's container: by flowctl, and by kubectl alone
swap() {
  local image=$IMG/example-secret-sauce tag
  for tag in second third; do
    in_node ctr -a /run/containerd/containerd.sock -n k8s.io image tag --force "$image:$VERSION" "$image:$tag" >/dev/null
  done
  made_of() { k -n "$DEPLOYMENT" get deploy secret-sauce -o 'jsonpath={.spec.template.spec.containers[0].image}'; }
  swapped() { flow swap "secret-sauce.$DEPLOYMENT" --image "$image:second" >"$WORK/swap"; }
  under_load "swap of a task's image" swapped
  check "flowctl says that its pods are replaced" "secret-sauce +secret-sauce.* +$image:second +ok" cat "$WORK/swap"
  check "no pod of the earlier image is left" "^$image:second$" \
    k -n "$DEPLOYMENT" get pods -l app=secret-sauce -o 'jsonpath={.items[*].spec.containers[0].image}'
  by_hand() { k -n "$DEPLOYMENT" set image deploy/secret-sauce "secret-sauce=$image:third"; settled; }
  under_load "kubectl set image, without a word to flowd" by_hand
  k -n "$DEPLOYMENT" label deploy secret-sauce "looked=$RANDOM" --overwrite >/dev/null
  sleep 2
  check "flowd leaves it" "^$image:third$" made_of
  missing() { flow swap "secret-sauce.$DEPLOYMENT" --image "$IMG/no-such-image:1" --timeout 20s >"$WORK/missing" 2>&1; }
  under_load "swap to an image that does not exist" missing
  check "flowctl says why the pods are not replaced" "not replaced yet: .*(ErrImage|ImagePull)" cat "$WORK/missing"
  undone() { flow swap "secret-sauce.$DEPLOYMENT" --undo >"$WORK/swap"; settled; }
  under_load "the swap taken back" undone
  check "it is made of what its model says" "^$image:$VERSION$" made_of
  swap_service
}

# Another service, of another deployment, for a share of a task's work
swap_service() {
  local other
  sed 's/"underpants"/"kitchen"/g' "$MODEL" >"$WORK/kitchen.bpmn"
  other=kitchen-$(flow validate "$WORK/kitchen.bpmn" -o=name | sed 's/.*kitchen-//')
  flow apply "$WORK/kitchen.bpmn" >/dev/null
  WITHIN=120 check "a process with another secret-sauce is RUNNING" "kitchen +RUNNING" flow ps -d
  halved() {
    flow swap "secret-sauce.$DEPLOYMENT" --service "secret-sauce.$other" --weight 50 >"$WORK/share"
    runs 60 6 underpants >"$WORK/during"
    calls_of "$other" >"$WORK/calls"
  }
  under_load "half of a task's work to another service" halved
  check "flowctl says that it is in force" "secret-sauce.$DEPLOYMENT +secret-sauce.$other +50 % +1 +ok" cat "$WORK/share"
  check "the other one has done some of it" "^[1-9][0-9]*$" cat "$WORK/calls"
  whole() { flow swap "secret-sauce.$DEPLOYMENT" --service "secret-sauce.$other" >"$WORK/share"; k -n "$DEPLOYMENT" rollout restart deploy/secret-sauce; settled; }
  under_load "all of it, while the task's own pods are replaced" whole
  check "flowctl says so" "secret-sauce.$other +100 % +1 +ok" cat "$WORK/share"
  back() { flow swap "secret-sauce.$DEPLOYMENT" --undo >"$WORK/share"; }
  under_load "and back" back
  check "the history has it all" "service secret-sauce.$other, weight 50" flow swap "secret-sauce.$DEPLOYMENT" --history
  check "none ended otherwise, and none is open" "^\{'COMPLETED': [0-9]+\}$" states underpants
  for it in stop delete; do flow $it -d kitchen --force >/dev/null; done
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
