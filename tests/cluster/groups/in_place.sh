# Another image for the pods that there are: nothing of them is made anew but the task's container
in_place() {
  local image=$IMG/example-secret-sauce service=secret-sauce.$DEPLOYMENT before tag
  for tag in second fourth; do
    in_node ctr -a /run/containerd/containerd.sock -n k8s.io image tag --force "$image:$VERSION" "$image:$tag" >/dev/null
  done
  k -n "$DEPLOYMENT" scale deploy/secret-sauce --replicas=2 >/dev/null
  settled >/dev/null
  # name, restarts of the sidecar, image and restarts of the task
  sidecars() { k -n "$DEPLOYMENT" get pods -l app=secret-sauce --sort-by=.metadata.name -o 'jsonpath={range .items[*]}{.metadata.name}:{.status.initContainerStatuses[?(@.name=="flow-sidecar")].restartCount} {end}'; }
  images() { k -n "$DEPLOYMENT" get pods -l app=secret-sauce -o 'jsonpath={.items[*].spec.containers[?(@.name=="secret-sauce")].image}'; }
  tasks() { k -n "$DEPLOYMENT" get pods -l app=secret-sauce -o 'jsonpath={.items[*].status.containerStatuses[?(@.name=="secret-sauce")].restartCount}'; }
  template() { k -n "$DEPLOYMENT" get deploy secret-sauce -o 'jsonpath={.spec.template.spec.containers[0].image}'; }
  before=$(sidecars)
  given() { flow swap "$service" --image "$image:second" --in-place >"$WORK/swap" 2>&1; echo "exit $?" >>"$WORK/swap"; }
  under_load "swap of the image of running pods" given
  check "flowctl says that they run it" "$image:second \(in place\) +ok" cat "$WORK/swap"
  check "both pods have the image" "^$image:second $image:second$" images
  check "the task's container alone was made anew, once" "^1 1$" tasks
  check "the pods and their sidecars are the same" "^$before$" sidecars
  check "their Deployment is as it was" "^$image:$VERSION$" template
  check "that is a condition" "sauce +ImageDrift +2 of 2 pods run $image:second, their Deployment has $image:$VERSION" flow describe underpants
  check "for scripts, too" '"type": "ImageDrift"' flow describe underpants -o=json

  pod_gone() { k -n "$DEPLOYMENT" delete pod "${before%%:*}"; settled; }
  under_load "one of them is made anew" pod_gone
  check "it has the Deployment's image, and the condition says so" "ImageDrift +1 of 2 pods run .*, and so has secret-sauce-.*, made since" flow describe underpants

  missing() { flow swap "$service" --image "$IMG/no-such-image:1" --in-place --timeout 60s >"$WORK/missing" 2>&1; echo "exit $?" >>"$WORK/missing"; }
  under_load "swap in place to an image that does not exist" missing
  check "flowctl says what the kubelet says" "error: .*pod secret-sauce-.* does not run $IMG/no-such-image:1: .*(ErrImage|ImagePull)" cat "$WORK/missing"
  check "and fails" "^exit 1$" cat "$WORK/missing"
  never "no pod is left with it" "no-such-image" images

  # flowd goes in the middle: the next one goes on
  middle() {
    flow swap "$service" --image "$image:fourth" --in-place >/dev/null 2>&1 & local swap=$!
    for it in $(seq 100); do images | grep -q fourth && break; sleep 0.1; done
    k -n $NS delete pod flowd-0 --wait=false; k -n $NS delete pod flowd-1 --wait=false; sleep 3
    k -n $NS rollout status statefulset/flowd --timeout=60s
    wait $swap
    flow swap "$service" --image "$image:fourth" --in-place
  }
  under_load "both flowds go while pods are swapped in place" middle
  check "both pods have the image" "^$image:fourth $image:fourth$" images

  undone() { flow swap "$service" --undo >"$WORK/swap" 2>&1; echo "exit $?" >>"$WORK/swap"; }
  under_load "the swap in place taken back" undone
  check "flowctl says so" "^exit 0$" cat "$WORK/swap"
  check "both pods have their Deployment's image" "^$image:$VERSION $image:$VERSION$" images
  never "there is no drift any more" "ImageDrift" flow describe underpants

  kept() {
    flow swap "$service" --image "$image:second" --in-place >/dev/null 2>&1
    before=$(sidecars)
    flow swap "$service" --commit >"$WORK/swap" 2>&1; echo "exit $?" >>"$WORK/swap"
  }
  under_load "a swap in place, and for good" kept
  check "flowctl says so" "^exit 0$" cat "$WORK/swap"
  check "their Deployment has the image" "^$image:second$" template
  check "and no pod was replaced" "^$before$" sidecars
  never "and there is no drift any more" "ImageDrift" flow describe underpants
  flow swap "$service" --undo >/dev/null
  k -n "$DEPLOYMENT" scale deploy/secret-sauce --replicas=1 >/dev/null
  settled >/dev/null
  check "none ended otherwise, and none is open" "^\{'COMPLETED': [0-9]+\}$" states underpants
}
