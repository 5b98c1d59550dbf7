# Who sidecars are: tokens, certificates, what an account may serve; under Istio, and with the hops' own TLS.

# token NAMESPACE ACCOUNT POD AUDIENCE : as the kubelet makes it; without a pod with "-"
token() {
  if [ "$3" = - ]; then k -n "$1" create token "$2" --audience "$4"; else
    k -n "$1" create token "$2" --audience "$4" --bound-object-kind Pod --bound-object-name "$3"; fi
}
pod_of() { k -n "$1" get pod -l "app=$2" --field-selector status.phase=Running -o 'jsonpath={.items[0].metadata.name}'; }
# intruder NAME TOKEN SERVICE : a sidecar on the node, past any mesh, that shows the token and says it serves the service; what it logs
intruder() {
  local dir=$WORK/$1
  mkdir -p "$dir"; printf %s "$2" >"$dir/token"
  k -n $NS get secret flowd-ca -o 'jsonpath={.data.ca\.crt}' | base64 -d >"$dir/ca.crt"
  in_net timeout 5 "$SIDECAR" --flowd "$(k -n $NS get service flowd -o 'jsonpath={.spec.clusterIP}'):9003" --serve "$3=http://127.0.0.1:9" \
    --identity-token "$dir/token" --identity-ca "$dir/ca.crt" --data-dir "$dir/data" 2>&1
}
# claim NAME ADDRESS SERVICE : what the hop port answers when the certificate that intruder NAME got says it serves the service
claim() {
  python3 - "$WORK/$1/data/identity.json" "$WORK/$1" "$3" <<'P'
import base64, json, sys, textwrap
kept, out, service = json.load(open(sys.argv[1])), sys.argv[2], sys.argv[3].encode()
pem = lambda kind, der: f"-----BEGIN {kind}-----\n" + "\n".join(textwrap.wrap(der, 64)) + f"\n-----END {kind}-----\n"
open(out + "/tls.crt", "w").write("".join(pem("CERTIFICATE", it) for it in kept["chain"]))
open(out + "/tls.key", "w").write(pem("PRIVATE KEY", kept["key"]))
field = lambda number, value: bytes([number << 3 | 2, len(value)]) + value
hello = field(1, bytes(16)[:-1] + b"\x07") + b"\x10\x01\x18\x01" + field(5, service)
frame = b"\x08\x01" + field(2, hello)
open(out + "/hello", "wb").write(b"\x00" + len(frame).to_bytes(4, "big") + frame)
P
  in_net curl -sS -k -m 5 --http2 -D - -o /dev/null --cert "$WORK/$1/tls.crt" --key "$WORK/$1/tls.key" -H 'te: trailers' \
    -H 'content-type: application/grpc' --data-binary "@$WORK/$1/hello" "https://$2:7001/flow.v1.Hop/Link" 2>&1
}

identity() {
  local audience=flowd.$NS.svc profit stranger
  profit=$(pod_of "$DEPLOYMENT" profit)
  check "sidecars got certificates with the names of their accounts" "spiffe://cluster.local/ns/$DEPLOYMENT/sa/profit" \
    k -n "$DEPLOYMENT" logs "$profit" -c flow-sidecar
  check "a token of another audience gets nothing" "counts for nothing here" \
    intruder other "$(token "$DEPLOYMENT" profit "$profit" https://kubernetes.default.svc.cluster.local)" "profit.$DEPLOYMENT"
  check "a token of no pod gets nothing" "made for no pod" intruder podless "$(token "$DEPLOYMENT" profit - $audience)" "profit.$DEPLOYMENT"
  check "a garbled token gets nothing" "counts for nothing here" intruder garbled not.a.token "profit.$DEPLOYMENT"
  check "an account may not read the tables of another" "may not serve collect.$DEPLOYMENT: it is done by .*/sa/collect" \
    intruder profit "$(token "$DEPLOYMENT" profit "$profit" $audience)" "collect.$DEPLOYMENT"
  stranger=$(token stranger default thief $audience)
  check "an account of another namespace may not serve what is of this one" "may not serve other.$DEPLOYMENT: only service accounts of namespace" \
    intruder stranger "$stranger" "other.$DEPLOYMENT"
  check "nor task types, unless its namespace is open to the mesh" "label namespace stranger" intruder stranger "$stranger" charge-card
  never "no table came to any of them" "tables from flowd" cat "$WORK"/*/data/tables/*
  uncaptured
}

# A pod with our sidecar and without Istio's, in mesh mode
uncaptured() {
  k -n stranger apply -f - >/dev/null <<Y
apiVersion: v1
kind: Pod
metadata: {name: bare, labels: {app: bare, rexflow.io/inject: "true", sidecar.istio.io/inject: "false"}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: bare, image: "$IMG/example-collect:$VERSION", ports: [{containerPort: 5000}]}]
Y
  ready() { in_net curl -sS -m 3 "http://$(k -n stranger get pod bare -o 'jsonpath={.status.podIP}'):7002/ready"; }
  check "a sidecar whose hop port the mesh does not capture is not ready, and says so" "it is not captured, a connection came to it from" ready
  check "nor is its pod" "False" k -n stranger get pod bare -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
  k -n stranger delete pod bare --wait=false >/dev/null
}

# The hops' own TLS under Istio, and the mesh's CA through all of its steps under load
own() {
  flow apply "$MODEL" >/dev/null
  chart --set hop.tls=own
  sidecars() { k -n "$DEPLOYMENT" get pods -o 'jsonpath={range .items[*]}{.spec.initContainers[?(@.name=="flow-sidecar")].env[?(@.name=="FLOW_HOP_TLS")].value} {end}'; }
  WITHIN=180 check "all sidecars encrypt the hops themselves" "^own own own *$" sidecars
  settled >/dev/null
  WITHIN=120 check "it is RUNNING" "underpants +RUNNING" flow ps -d
  check "Istio has no policies of ours any more" "No resources found" k -n "$DEPLOYMENT" get authorizationpolicy,peerauthentication
  local before=$SECONDS address
  runs 200 20 underpants >"$WORK/runs"
  check "200 instances at 20 in parallel complete" "^200$" grep -c "^done" "$WORK/runs"
  say "      200 instances in $((SECONDS - before)) s"
  address=$(k -n "$DEPLOYMENT" get pod -l app=secret-sauce -o 'jsonpath={.items[0].status.podIP}')
  nameless() { in_net curl -sS -k -m 5 --http2 "https://$1:7001/"; }
  check "the hop port refuses who shows no certificate" "certificate required|alert|SSL" nameless "$address"
  intruder stranger "$(token stranger default thief flowd.$NS.svc)" charge-card >/dev/null
  check "the hop port refuses a service account that is no predecessor" "may not serve collect.$DEPLOYMENT|grpc-status: 7" claim stranger "$address" "collect.$DEPLOYMENT"
  under_load "certificates and the CA are renewed" rotation
  check "none ended otherwise, and none is open" "^\{'COMPLETED': [0-9]+\}$" states underpants
}
# The CA is made older than it is, so that its steps are due: the next one is made, signs after a certificate's life, and the first one goes.
rotation() {
  local now; now=$(date +%s)
  kept() { k -n $NS get secret flowd-ca -o 'jsonpath={.data.ca\.json}' | base64 -d; }
  newest() { kept | python3 -c 'import json,sys; print(" ".join(str(it["made"] >= int(sys.argv[1])) for it in json.load(sys.stdin)))' "$now"; }
  older() { kept | python3 -c 'import json,sys; all=json.load(sys.stdin); [it.update(made=it["made"]-300) for it in all]; print(json.dumps(all))' | base64 -w0; }
  k -n $NS patch secret flowd-ca --type=merge -p "{\"data\":{\"ca.json\":\"$(older)\"}}"
  WITHIN=40 check "a second CA is trusted" "^False True$" newest
  WITHIN=200 check "it has taken over, and the first one is gone" "^True$" newest
}

# Without Istio
without() {
  chart --set orchestrator=kubernetes
  # the way in may still be to a flowd that is gone
  until_ok 60 flow apply "$MODEL"
  WITHIN=150 check "without Istio it is RUNNING" "underpants +RUNNING" flow ps -d
  never "no pod has Istio's proxy" "istio-proxy" k -n "$DEPLOYMENT" get pods -o yaml
  runs 100 20 underpants >"$WORK/runs"
  check "100 instances at 20 in parallel complete" "^100$" grep -c "^done" "$WORK/runs"
  local address; address=$(k -n "$DEPLOYMENT" get pod -l app=secret-sauce -o 'jsonpath={.items[0].status.podIP}')
  k create namespace stranger --dry-run=client -o yaml | k apply -f - >/dev/null
  until_ok 30 k -n stranger get serviceaccount default
  k -n stranger run thief --image "$IMG/pause:1" --labels app=thief >/dev/null 2>&1
  until_ok 30 k -n stranger get pod thief
  intruder stranger "$(token stranger default thief flowd.$NS.svc)" charge-card >/dev/null
  check "the wrong service account is refused at the hop port" "may not serve collect.$DEPLOYMENT|grpc-status: 7" claim stranger "$address" "collect.$DEPLOYMENT"
  plain() { in_net curl -sS -m 5 --http2-prior-knowledge "http://$1:7001/" 2>&1; }
  check "plain text to the hop port is refused" "reset|closed|refused|Failure|failed|empty" plain "$address"
  flow delete -d underpants --force >/dev/null 2>&1
  WITHIN=120 check "delete leaves nothing behind" "No resources found" ours
  k delete namespace stranger --wait=false >/dev/null 2>&1
  helm uninstall rexflow -n $NS --wait >/dev/null 2>&1
  never "uninstall leaves nothing of the cluster's" "flowd|flow-sidecar" k get clusterrole,clusterrolebinding,mutatingwebhookconfiguration -o name
  WITHIN=60 check "nor its CA in any namespace" "^0$" count flow-ca k get configmap -A
}
