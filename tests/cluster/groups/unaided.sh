# flowctl's own installation, without Helm; it is away again when this ends.

# same OPTION... : flowctl renders what Helm renders
same() {
  local since=$SECONDS differences
  differences=$(python3 - <(helm template rexflow "$ROOT/deploy/istio" -n mesh "$@" 2>&1 | "$FLOWCTL" uninject -f - 2>&1) \
    <("$FLOWCTL" install --dry-run -n mesh "$@" 2>&1 | "$FLOWCTL" uninject -f - 2>&1) <<'P'
import difflib, re, sys
def objects(path):
    text = open(path).read().replace("managed-by: flowctl", "managed-by: Helm")
    # what flowctl remembers for its next upgrade
    text = re.sub(r"\n  annotations:\n    rexflow\.io/values: .*(\n     .*)*", "", text)
    return sorted(text.split("---\n"))
ours, theirs = (objects(path) for path in sys.argv[2:0:-1])
kinds = re.findall(r"(?m)^kind: (.*)$", "".join(ours))
print(f"{len(kinds)} objects" if ours == theirs and len(kinds) > 5 else "DIFFERENT")
sys.stdout.writelines(list(difflib.unified_diff("".join(theirs).splitlines(1), "".join(ours).splitlines(1), "helm", "flowctl", n=1))[:40])
P
  )
  case $differences in
    *objects) pass "flowctl renders what Helm renders: ${*:-no values}" $since "$differences";;
    *) fail "flowctl renders what Helm renders: $*" $since "$differences";;
  esac
}

rendered() {
  local all=$WORK/all.yaml
  cat >"$all" <<'E2'
replicas: 3
store: {etcd: "etcd://10.0.0.7:2379/flow"}
networkPolicy: true
serviceMonitor: true
users: {enabled: true}
env: [{name: A, value: "one\ntwo: \"3\""}, {name: B, valueFrom: {secretKeyRef: {name: s, key: k}}}]
podAnnotations: {example.org/a: "1", example.org/b: "yes"}
tolerations: [{key: flow, operator: Equal, value: "true", effect: NoSchedule}]
observability:
  sidecars: true
  dashboards: {enabled: true, annotations: {grafana_folder: REXFlow}}
  alerts: {enabled: true, labels: {release: prometheus}}
E2
  same
  same --set orchestrator=kubernetes
  same --set hop.tls=own,webhook.failurePolicy=Fail,webhook.timeoutSeconds=30
  same --set identity.certificateLife=40,identity.caLife=400,clusterDomain=example.org
  same --set store.persistence.enabled=false --set traces=http://jaeger:4317,log.level=debug
  same --set store.persistence.size=1Gi,store.persistence.storageClass=fast
  same --set image.repository=r.example/flowd,image.tag=v9,sidecar.image=r.example/s:v9,priorityClassName=high
  same --set 'nodeSelector.kubernetes\.io/os=linux,env[0].name=A,env[0].value=x\,y=z' --set resources.limits=null
  same --set gateway.name=edge,gateway.create=true,gateway.tlsSecret=edge-tls,gateway.grpc.host=flowd.example
  same --set gateway.name=main,gateway.namespace=edge
  same --set users.enabled=true,users.aggregate=false,users.account=ops
  same --set users.enabled=true,users.account=
  same -f "$all"
  same -f "$all" --set podDisruptionBudget=false,replicas=2
}

unaided() {
  "$HERE/images.sh" load "$IMAGES"/*.tar
  check "check says that nothing is installed, which is no failure" "skipped +it is installed: there is no flowd in the namespace $NS" flow check
  never "and nothing fails" "^ +failed" flow check
  check "it knows Istio's version" "ok +istiod is ready, and its proxies are native sidecars: istio-system/istiod" flow check --pre
  check "a storage class that is not there is a warning" "warning +flowd's volume can be made: there is no storage class nope" \
    flow check --pre --set store.persistence.storageClass=nope
  check "a kubeconfig that is not there is one failure" "1 of 1 checks failed" flow check --kubeconfig /nowhere
  check "values that do not go together change nothing" "more than one flowd needs store.etcd" flow install --set replicas=2
  check "a value that is none is named" "values that the chart does not take: .*stoer" flow install --set stoer.etcd=x
  check "there is nothing to upgrade" "there is no flowd in the namespace $NS" flow upgrade
  WITHIN=120 check "flowctl installs" "flowd is ready" flow install --set store.persistence.enabled=false,log.format=text --wait --timeout 100s
  check "flowctl reaches flowd" "flowd +[0-9].*leads" flow version
  check "check finds nothing wrong" "^0 0$" bash -c 'out=$("$@" 2>&1); echo "$(grep -c "^ *failed" <<<"$out") $(grep -c "^ *warning" <<<"$out")"; echo "$out"' \
    _ nsenter -t "$(node_pid)" -n -- "$FLOWCTL" check
  check "one flowd leads" "ok +one leads: flowd-0" flow check
  check "a pod would get its sidecar" "ok +a pod gets its sidecar: native sidecar" flow check
  check "JSON for scripts" '"state": "ok"' flow check -o=json
  check "a second installation there is refused" "there is a flowd in the namespace $NS already" flow install

  check "an option brings its object" "networkpolicy/flowd created" flow upgrade --set networkPolicy=true
  check "what was asked for stays" "networkpolicy/flowd unchanged" flow upgrade
  check "and the volume that was not wanted stays away" "statefulset/flowd unchanged" flow upgrade
  check "without the option it goes" "networkpolicy/flowd deleted" flow upgrade --set networkPolicy=false
  check "what cannot be changed in place says what to do" "cascade=orphan" flow upgrade --set store.persistence.enabled=true
  check "and nothing was changed" "statefulset/flowd unchanged" flow upgrade

  away
  check "uninstall says what stays" "secret/flowd-ca left: the CA of the mesh" flow uninstall
  check "nothing of it is left" "No resources found" \
    k get sa,svc,sts,cm,role,rolebinding,clusterrole,clusterrolebinding,mutatingwebhookconfiguration,peerauthentication -A -l rexflow.io/installation=$NS
  check "there is nothing more to uninstall" "there is no installation of flowctl's in the namespace $NS" flow uninstall
  check "its namespace goes by hand" "deleted" k delete namespace $NS
  check "and so does the CRD, with which all Workflows go" "deleted" k delete crd workflows.rexflow.io
}

# flowd is away: pods are made without sidecars, and check says so; then it says which ones
away() {
  k create namespace labelled >/dev/null
  k label namespace labelled rexflow.io/injection=enabled >/dev/null
  check "a namespace asks for sidecars" "ok +a pod in labelled gets its sidecar: native" flow check
  k -n $NS scale statefulset flowd --replicas=0 >/dev/null
  check "flowd is away: check says what becomes of pods" "failed +flowd answers it: no flowd is ready: pods are made without sidecars .*fails open" flow check
  k -n labelled run bare --image=localhost/example-collect:0.1.0 >/dev/null
  check "a pod is made all the same, without a sidecar" "^bare +bare $" \
    k -n labelled get pod bare -o 'jsonpath={.metadata.name} {range .spec.containers[?(@.name=="bare")]}{.name} {end}{range .spec.initContainers[?(@.name=="flow-sidecar")]}{.name}{end}'
  k -n $NS scale statefulset flowd --replicas=1 >/dev/null
  check "flowd is back: check names the pod" "warning +the pods of labelled have their sidecars: 1 have none: bare" flow check
  check "with what to do" "fix: kubectl -n labelled rollout restart deployment, or label" flow check
  k delete namespace labelled --wait=false >/dev/null
}
