# Several processes, wrong models, and the end.
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
  local model=$MODEL to
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
  WITHIN=120 check "two processes that share a service are RUNNING" "^3$" count RUNNING flow ps -d
  check "in the shared namespace the names end with the hash" "collect-[0-9a-f]{8}" k -n pantry get deploy
  runs 20 10 one >"$WORK/first" & local first=$!
  runs 20 10 two >"$WORK/second"
  wait $first
  check "20 instances of the first complete" "^20$" grep -c "^done" "$WORK/first"
  check "20 instances of the second complete" "^20$" grep -c "^done" "$WORK/second"
}

bad() {
  local model=$MODEL
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
  check "nothing half-made stays" "^0$" count "imageless|foreign" ours
}

gone() {
  for it in one two underpants; do flow stop -d "$it" --force >/dev/null 2>&1; flow delete -d "$it" --force >/dev/null 2>&1; done
  WITHIN=120 check "stop and delete leave nothing behind" "No resources found" ours
  check "what was there before is there still" "secret-sauce" k -n kitchen get deploy,svc
  k delete namespace kitchen pantry stranger --wait=false >/dev/null 2>&1
  helm uninstall rexflow -n $NS --wait >/dev/null 2>&1
  never "uninstall leaves nothing of the cluster's" "flowd|flow-sidecar" k get clusterrole,clusterrolebinding,mutatingwebhookconfiguration -o name
}
