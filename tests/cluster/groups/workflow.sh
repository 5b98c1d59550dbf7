# Workflows: models that are applied by the API server, as GitOps tools do.
wf() { k -n shop get workflow "$1" -o "jsonpath=$2"; }
condition() { wf "$1" "{range .status.conditions[?(@.type==\"$2\")]}{.status} {.reason}: {.message}{end}"; }
# workflow NAME < MODEL : a Workflow of it, as YAML
workflow() {
  printf 'apiVersion: rexflow.io/v1alpha1\nkind: Workflow\nmetadata: {name: %s, namespace: shop}\nspec:\n  bpmn: |\n' "$1"
  sed 's/^/    /'
}
# the model as process $1, with whatever else sed is to do
as_process() { local process=$1; shift; sed -e "s/\"underpants\"/\"$process\"/g" "$@" "$MODEL"; }
id_of() { echo "$1-$(flow validate "$2" -o=name | sed 's/.*-//')"; }

workflow_new() {
  k create namespace shop --dry-run=client -o yaml | k apply -f - >/dev/null
  check "the API server knows the resource" "workflows +wf +rexflow.io/v1alpha1 +true +Workflow" k api-resources --api-group=rexflow.io
  as_process boxers >"$WORK/boxers.bpmn"
  workflow boxers <"$WORK/boxers.bpmn" >"$WORK/boxers.yaml"
  check "kubectl applies a Workflow" "workflow.rexflow.io/boxers created" k apply -f "$WORK/boxers.yaml"
  check "in a namespace that is not open it says how to open it" "False NamespaceNotOpen: .*kubectl label namespace shop rexflow.io/injection=enabled" condition boxers Ready
  never "and brings nothing" "boxers" ours
  k label namespace shop rexflow.io/injection=enabled >/dev/null
  check "kubectl wait returns" "workflow.rexflow.io/boxers condition met" k -n shop wait --for=condition=Ready workflow/boxers --timeout=120s
  FIRST=$(id_of boxers "$WORK/boxers.bpmn")
  check "kubectl get wf shows how it fares" "^boxers +True +Running +$FIRST +3/3 +0 +[0-9]+s" k -n shop get wf --no-headers
  check "every condition is of the spec as it is" "^(1 True,){5}$" wf boxers '{range .status.conditions[*]}{.observedGeneration} {.status},{end}'
  check "flowctl sees the same deployment" "$FIRST.* RUNNING" flow ps -d
  check "an instance completes" "COMPLETED|Positive" flow run boxers '{}' --wait
  check "flowctl tells whose it is" "^Workflow: +shop/boxers" flow describe "$FIRST"
  check "flowctl leaves it to its Workflow" "kubectl -n shop delete workflow boxers" flow delete -d boxers
}

workflow_wrong() {
  refused() { k -n shop apply -f - 2>&1; }
  both() { printf 'apiVersion: rexflow.io/v1alpha1\nkind: Workflow\nmetadata: {name: both, namespace: shop}\nspec: {bpmn: x, bpmnFrom: {configMapKeyRef: {name: a, key: b}}}\n' | refused; }
  check "two models are refused by the API server" "give exactly one of bpmn and bpmnFrom" both
  two() { printf 'apiVersion: rexflow.io/v1alpha1\nkind: Workflow\nmetadata: {name: two, namespace: shop}\nspec: {bpmn: x, tasks: [{name: a, image: b, url: "http://c"}]}\n' | refused; }
  check "so is a task that is to be two things" "give exactly one of image, url and service" two
  # a model whose flow leads nowhere
  as_process boxers -e 's/targetRef="profit"/targetRef="nowhere"/' >"$WORK/broken.bpmn"
  workflow boxers <"$WORK/broken.bpmn" | k apply -f - >/dev/null
  check "a broken model is told with its element and what to do" "^False Invalid: .*to_profit.*\(.+\)" condition boxers Compiled
  check "and that the version before it goes on" "^False Invalid: .*$FIRST goes on" condition boxers Ready
  check "it does" "COMPLETED|Positive" flow run boxers '{}' --wait
  check "nothing half-made is there" "^1$" count "boxers" flow ps -d -o=name
  k apply -f "$WORK/boxers.yaml" >/dev/null
  check "taken back, it is Ready" "condition met" k -n shop wait --for=condition=Ready workflow/boxers --timeout=60s
  # what is other people's
  as_process thief >"$WORK/thief.bpmn"
  python3 - "$WORK/thief.bpmn" <<'P' | workflow thief | k apply -f - >/dev/null
import sys
settings = "rexflow_global_properties:\n  namespace_shared: true\n  namespace: kube-system"
print(open(sys.argv[1]).read().replace("</bpmn:process>", f'<bpmn:textAnnotation id="global"><bpmn:text>{settings}</bpmn:text></bpmn:textAnnotation></bpmn:process>'))
P
  check "nothing is brought into other people's namespaces" "False NotPermitted: task collect: .*kube-system.*workflows-from=shop" condition thief Ready
  k -n shop delete workflow thief --timeout=30s >/dev/null
  as_process underpants >"$WORK/theirs.bpmn"
  flow apply "$WORK/theirs.bpmn" >/dev/null
  workflow theirs <"$WORK/theirs.bpmn" | k apply -f - >/dev/null
  check "a process that flowctl has applied stays flowctl's" "False NotPermitted: process underpants is of flowctl" condition theirs Ready
  k -n shop delete workflow theirs --timeout=30s >/dev/null
  check "also when the Workflow goes" "underpants" flow ps -d -o=name
}

workflow_versions() {
  local second
  as_process boxers -e 's/name="Profit!"/name="More profit!"/' >"$WORK/second.bpmn"
  second=$(id_of boxers "$WORK/second.bpmn")
  flow run boxers '{}' --stopped -o=json | python3 -c 'import json,sys; print(json.load(sys.stdin)["id"])' >"$WORK/open"
  workflow boxers <"$WORK/second.bpmn" | k apply -f - >/dev/null
  WITHIN=120 check "another model is another version" "^$second $FIRST $" wf boxers '{range .status.versions[*]}{.deployment} {end}'
  WITHIN=120 check "which becomes Ready" "^True Running: $" condition boxers Ready
  check "beside the one before, which still runs an instance" "$FIRST.* STOPPING" flow ps -d
  check "the Workflow tells both" "$second=RUNNING/true $FIRST=STOPPING/false" wf boxers '{range .status.versions[*]}{.deployment}={.state}/{.current} {end}'
  check "new instances are of the new version" "$second-" flow run boxers '{}' -o=json
  flow start "$(<"$WORK/open")" >/dev/null
  WITHIN=90 check "when the last instance of the earlier one has ended, it goes" "^0$" count "$FIRST" ours
  check "its instance has completed" "COMPLETED" flow ps "$(<"$WORK/open")"
  FIRST=$second
}

workflow_tasks() {
  in_node ctr -a /run/containerd/containerd.sock -n k8s.io image tag --force "$IMG/example-secret-sauce:$VERSION" "$IMG/example-secret-sauce:wf" >/dev/null
  k -n shop patch workflow boxers --type=merge -p "{\"spec\": {\"tasks\": [{\"name\": \"sauce\", \"image\": \"$IMG/example-secret-sauce:wf\"}]}}" >/dev/null
  made_of() { k -n "$FIRST" get deploy secret-sauce -o 'jsonpath={.spec.template.spec.containers[0].image}'; }
  check "a task's image is what the Workflow says" "example-secret-sauce:wf$" made_of
  check "with no version of its own" "^$FIRST$" wf boxers '{.status.deployment}'
  k -n shop patch workflow boxers --type=merge -p '{"spec": {"tasks": [{"name": "nobody", "image": "x"}]}}' >/dev/null
  check "a task that is not there is told" "False NotFound: .*\"nobody\"" condition boxers Ready
  k -n shop patch workflow boxers --type=merge -p '{"spec": {"tasks": null}}' >/dev/null
  check "taken out, it is what the model says" "example-secret-sauce:$VERSION$" made_of
  check "and Ready" "condition met" k -n shop wait --for=condition=Ready workflow/boxers --timeout=90s
}

# Another place, and another service, for a task
workflow_elsewhere() {
  local sauce=secret-sauce.$DEPLOYMENT
  tasks() { k -n shop patch workflow boxers --type=merge -p "{\"spec\": {\"tasks\": $1}}" >/dev/null; }
  place() { flow ps -d "$FIRST" -o=json | python3 -c 'import json,sys; print(*[it["url"] for it in json.load(sys.stdin)[0]["tasks"] if it["element"] == "sauce"])'; }
  tasks "[{\"name\": \"sauce\", \"url\": \"http://$sauce\"}]"
  check "a task is done where the Workflow says" "^http://$sauce/?$" place
  check "its instances complete there" "COMPLETED|Positive" flow run boxers '{}' --wait
  tasks "[{\"name\": \"sauce\", \"service\": {\"name\": \"$sauce\", \"weight\": 100}}]"
  check "a service of a namespace that the Workflow may not use is refused" "False NotPermitted: .*$sauce.*" condition boxers Ready
  k annotate namespace "$DEPLOYMENT" rexflow.io/workflows-from=shop >/dev/null
  swapped_to() { flow swap "secret-sauce.$FIRST" --history; }
  WITHIN=90 check "when that namespace lets it, it is in force" "service $sauce" swapped_to
  check "and the Workflow is Ready" "condition met" k -n shop wait --for=condition=Ready workflow/boxers --timeout=60s
  local before; before=$(calls_of "$DEPLOYMENT")
  for it in 1 2 3; do flow run boxers '{}' --wait >/dev/null; done
  more() { echo "$(($(calls_of "$DEPLOYMENT") - before))"; }
  check "the other service has done it" "^3$" more
  tasks null
  check "taken out, the task is its own service's again" "condition met" k -n shop wait --for=condition=Ready workflow/boxers --timeout=60s
  k annotate namespace "$DEPLOYMENT" rexflow.io/workflows-from- >/dev/null
}

# Whichever flowd leads, and goes while a Workflow is changed: the other one does it
workflow_takeover() {
  local it
  for it in 0 1; do
    in_node ctr -a /run/containerd/containerd.sock -n k8s.io image tag --force "$IMG/example-secret-sauce:$VERSION" "$IMG/example-secret-sauce:led$it" >/dev/null
    k -n $NS delete pod "flowd-$it" --force --grace-period=0 >/dev/null 2>&1
    tasks "[{\"name\": \"sauce\", \"image\": \"$IMG/example-secret-sauce:led$it\"}]"
    check "flowd-$it goes: the other one does what the Workflow says" "example-secret-sauce:led$it$" made_of
    current() { wf boxers '{.metadata.generation}={range .status.conditions[*]}{.observedGeneration} {.status},{end}'; }
    WITHIN=90 check "and says so" "^([0-9]+)=(\1 True,){5}$" current
    k -n $NS wait --for=condition=Ready "pod/flowd-$it" --timeout=60s >/dev/null
  done
  check "an instance completes" "COMPLETED|Positive" flow run boxers '{}' --wait
  tasks null
}

workflow_config_map() {
  local id
  as_process briefs >"$WORK/briefs.bpmn"
  printf 'apiVersion: rexflow.io/v1alpha1\nkind: Workflow\nmetadata: {name: briefs, namespace: shop}\nspec: {bpmnFrom: {configMapKeyRef: {name: models, key: briefs.bpmn}}}\n' | k apply -f - >/dev/null
  check "flowd reads no ConfigMaps but where it is let, and says how" "False ConfigMapForbidden: .*kubectl -n shop create rolebinding" condition briefs Ready
  condition briefs Ready | sed 's/.*`kubectl \(.*\)`.*/\1/' | xargs "$HERE/kubectl" >/dev/null
  WITHIN=90 check "a ConfigMap that is not there is told" "False ConfigMapMissing: there is no ConfigMap shop/models" condition briefs Ready
  k -n shop create configmap models --from-file=other.bpmn="$WORK/briefs.bpmn" >/dev/null
  check "so is a key that is not in it" "False ConfigMapKeyMissing: .*briefs.bpmn; it has other.bpmn" condition briefs Ready
  k -n shop create configmap models --from-file=briefs.bpmn="$WORK/briefs.bpmn" --dry-run=client -o yaml | k apply -f - >/dev/null 2>&1
  check "with it, it becomes Ready" "condition met" k -n shop wait --for=condition=Ready workflow/briefs --timeout=120s
  id=$(wf briefs '{.status.deployment}')
  as_process briefs -e 's/name="Profit!"/name="Less profit!"/' >"$WORK/briefs.bpmn"
  k -n shop create configmap models --from-file=briefs.bpmn="$WORK/briefs.bpmn" --dry-run=client -o yaml | k apply -f - >/dev/null 2>&1
  WITHIN=120 check "a change of the ConfigMap is a new version, and the one before goes" "^$(id_of briefs "$WORK/briefs.bpmn") $" \
    wf briefs '{range .status.versions[*]}{.deployment} {end}'
  never "also at flowd" "$id" flow ps -d -o=name
}

workflow_gone() {
  local open
  open=$(flow run boxers '{}' --stopped -o=json | python3 -c 'import json,sys; print(json.load(sys.stdin)["id"])')
  k -n shop delete workflow boxers briefs --wait=false >/dev/null
  check "a deletion says which instances it waits for, and how to cancel them" \
    "False Deleting: waits for open instances to end: 1 of $FIRST.*rexflow.io/force=true" condition boxers Ready
  check "without one it goes" "NotFound" k -n shop get workflow briefs
  check "no instance is started meanwhile" "STOPPING|not RUNNING" flow run boxers '{}'
  k -n shop annotate workflow boxers rexflow.io/force=true >/dev/null
  check "with force it goes" "NotFound" k -n shop get workflow boxers
  check "its instance is cancelled" "CANCELLED|CANCELED|STOPPED|TERMINATED" flow ps "$open"
  WITHIN=120 check "nothing of them is left" "^0$" count "boxers|briefs" ours
  never "nor at flowd" "boxers|briefs" flow ps -d -o=name
  k delete namespace shop --wait=false >/dev/null 2>&1
}

# all of it, from nothing to nothing
workflow_crd() { for it in new wrong versions tasks elsewhere takeover config_map gone; do "workflow_$it"; done; }
