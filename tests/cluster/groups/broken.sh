# Things break under load, and change under flowd's hands.
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
