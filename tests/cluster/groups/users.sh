# Users by their tokens: who may what, whose tokens count for nothing, and what becomes of users while the API server is away.

# person NAME [ROLE] : a service account that may forward ports and has the role; its kubeconfig
person() {
  local name=$1 role=${2:-} user=$WORK/$1.kubeconfig
  k -n $NS create serviceaccount "$name" >/dev/null
  k -n $NS create rolebinding "$name-reaches" --role=reaches --serviceaccount="$NS:$name" >/dev/null
  [ -z "$role" ] || k -n $NS create rolebinding "$name" --clusterrole="flowd-$NS-$role" --serviceaccount="$NS:$name" >/dev/null
  kubeconfig "$user" "$(k -n $NS create token "$name")"
}
# kubeconfig FILE TOKEN : a kubeconfig whose user has the token
kubeconfig() {
  cp "$PKI/admin.kubeconfig" "$1"
  "$BIN/kube" ctl --kubeconfig "$1" config set-credentials named --token="$2" >/dev/null
  "$BIN/kube" ctl --kubeconfig "$1" config set-context --current --user=named >/dev/null
}
# plugged NAME WAY : a person's kubeconfig whose token is in a file, or comes from a plugin
plugged() {
  local token=$WORK/$1.token user=$WORK/$1-$2.kubeconfig
  k -n $NS create token "$1" >"$token"
  kubeconfig "$user" none
  case $2 in
    file) sed -i "s|token: none|tokenFile: $token|" "$user";;
    plugin)
      printf '#!/bin/sh\nprintf \047{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%%s"}}\047 "$(cat %s)"\n' "$token" >"$WORK/plugin"
      chmod +x "$WORK/plugin"
      sed -i "s|token: none|exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: $WORK/plugin}|" "$user";;
  esac
}
# as NAME VERB... : flowctl, called by a person, through a port-forward of its own
as() { local name=$1; shift; KUBECONFIG=$WORK/$name.kubeconfig flow "$@" -n $NS; }
# shows TOKEN VERB... : the same with a token in a file, for which the administrator forwards the port
shows() { printf %s "$1" >"$WORK/shown"; shift; flow "$@" -n $NS --token "$WORK/shown"; }
# http TOKEN METHOD PATH [HOST] : status and body; no token with "-"
http() {
  local token=()
  [ "$1" = - ] || token=(-H "authorization: Bearer $1")
  in_net curl -sS -m 15 -X "$2" "${token[@]}" -H 'content-type: application/json' ${4:+-H "host: $4"} -d '{}' -w ' status %{http_code}' "http://$FLOWD:9002$3" 2>&1
}
# may USER VERB RESOURCE : what the API server says; kubectl auth can-i knows no resources that are only names
may() {
  k create -o 'jsonpath={.status.allowed}' -f - <<Y
apiVersion: authorization.k8s.io/v1
kind: SubjectAccessReview
spec: {user: $1, resourceAttributes: {namespace: $NS, group: rexflow.io, verb: $2, resource: $3}}
Y
}
# changed TOKEN CLAIM=JSON : a token of the cluster's own key with another claim
changed() {
  python3 - "$PKI/sa.key" "$1" "$2" <<'P'
import base64, json, subprocess, sys
key, token, change = sys.argv[1:]
b64 = lambda it: base64.urlsafe_b64encode(it).rstrip(b"=").decode()
head, body, _ = token.split(".")
claims = json.loads(base64.urlsafe_b64decode(body + "==="))
name, value = change.split("=", 1)
claims[name] = json.loads(value)
signed = head + "." + b64(json.dumps(claims).encode())
print(signed + "." + b64(subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=signed.encode(), capture_output=True, check=True).stdout))
P
}

users() {
  never "without users no roles are there" "flowd-$NS-(viewer|operator|deployer)" k get clusterrole -o name
  chart --set users.enabled=true
  FLOWD=$(k -n $NS get service flowd -o 'jsonpath={.spec.clusterIP}')
  # what flowctl needs for its port-forward
  k -n $NS apply -f - >/dev/null <<Y
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reaches}
rules:
- {apiGroups: [""], resources: [pods], verbs: [list]}
- {apiGroups: [""], resources: [pods/portforward], verbs: [get, create]}
Y
  person nobody
  person viewer viewer
  person operator operator
  person deployer deployer
  roles
  tokens
  over_http
  while_away
  k -n $NS delete rolebinding,serviceaccount nobody viewer operator deployer --ignore-not-found >/dev/null 2>&1
  k -n $NS delete rolebinding nobody-reaches viewer-reaches operator-reaches deployer-reaches --ignore-not-found >/dev/null 2>&1
  k -n $NS delete role reaches >/dev/null
  chart
  never "switched off, the roles are gone" "flowd-$NS-(viewer|operator|deployer)" k get clusterrole -o name
  check "and nobody is asked for" "flowd +[0-9]" flow version
}

roles() {
  check "an administrator with a certificate gets in, by the account of the installation" "flowd +[0-9].*leads" flow version -n $NS
  KUBECONFIG=$WORK/nobody.kubeconfig check "the kubeconfig's token goes to an address when that is said" "flowd +[0-9]" flow version --kube-token --flowd_host localhost
  KUBECONFIG=$WORK/nobody.kubeconfig check "and only then: who shows none is refused, and told what to do" "no token: .*--kube-token" flow ps
  check "--kube-token needs one" "the kubeconfig has none: a certificate is none" flow version --kube-token --flowd_host localhost
  check "who has no role is somebody" "flowd +[0-9]" as nobody version
  check "and may nothing; the message names user, right and role" \
    "system:serviceaccount:$NS:nobody may not list instances.rexflow.io in the namespace $NS; the ClusterRole flowd-$NS-viewer allows it" as nobody ps
  check "and how it is given" "create rolebinding NAME --clusterrole=flowd-$NS-viewer --serviceaccount=$NS:nobody" as nobody ps

  check "a viewer may not apply" "viewer may not create workflows.rexflow.io .*flowd-$NS-deployer" as viewer apply "$MODEL"
  check "an operator may not either" "operator may not create workflows.rexflow.io .*flowd-$NS-deployer" as operator apply "$MODEL"
  check "a deployer may" "underpants-[0-9a-f]{8}" as deployer apply "$MODEL"
  WITHIN=120 check "a viewer sees it" "underpants +RUNNING" as viewer ps -d
  check "a viewer may not run it" "viewer may not create instances.rexflow.io .*flowd-$NS-operator" as viewer run underpants '{}'
  check "an operator may" "COMPLETED|Positive" as operator run underpants '{}' --wait
  local instance; instance=$(as viewer ps -i -o=name 2>/dev/null | head -1 | cut -d/ -f2)
  check "a viewer traces it" "Collect underpants +completed" as viewer trace "$instance"
  check "and sees all about it" "COMPLETED" as viewer describe "$instance"
  check "and about its deployment" "RUNNING" as viewer describe underpants
  printf 'action: expose_ingress\nhost: users.example\nwf_id: underpants\nargs: {path: /orders}\n' >"$WORK/way.yaml"
  # steers VERB... : for operators, not for viewers; what it tells an operator is $DONE
  steers() {
    check "a viewer may not $1" "viewer may not update workflows.rexflow.io/operation" as viewer "$@"
    as operator "$@" >"$WORK/steered" 2>&1
    WITHIN=2 check "an operator may $1" "$DONE" cat "$WORK/steered"
    never "nothing of it is refused" "may not" cat "$WORK/steered"
  }
  DONE="http://secret-sauce.* +ok" steers swap "secret-sauce.$DEPLOYMENT" --url "http://secret-sauce.$DEPLOYMENT"
  check "to run another image takes a deployer" "operator may not update workflows.rexflow.io .*flowd-$NS-deployer" \
    as operator swap "secret-sauce.$DEPLOYMENT" --image "$IMG/example-secret-sauce:$VERSION"
  as operator swap "secret-sauce.$DEPLOYMENT" --undo >/dev/null 2>&1
  DONE="Stopped" steers stop -d underpants --force
  # or what is on its way out would be taken for what is there again
  WITHIN=90 check "its namespace goes" "NotFound" k get namespace "$DEPLOYMENT"
  DONE="Started" steers start -d underpants
  WITHIN=120 check "it is RUNNING again" "underpants +RUNNING" as viewer ps -d
  DONE="users.example" steers update "$WORK/way.yaml"
  check "a viewer may not stop an instance" "viewer may not update instances.rexflow.io" as viewer stop "$instance"
  check "an operator may" "has ended already" as operator stop "$instance"
  check "a viewer may not send" "viewer may not create messages.rexflow.io" as viewer send nothing
  check "an operator may not delete a deployment" "operator may not delete workflows.rexflow.io" as operator delete -d underpants --force
  check "nor an instance" "operator may not delete instances.rexflow.io" as operator delete -i "$instance"
  check "a deployer may" "$instance" as deployer delete -i "$instance"
  k -n $NS create rolebinding edits --clusterrole=edit --user=ed >/dev/null
  WITHIN=10 check "edit has operator in it" "^true$" may ed create instances
  check "and not deployer" "^false$" may ed create workflows
  k -n $NS delete rolebinding edits >/dev/null
  original
}

# The original's calls
original() {
  # original_call METHOD TOKEN : a request without fields
  original_call() {
    printf '\0\0\0\0\0' | in_net curl -sS -m 10 --http2-prior-knowledge -D - -o /dev/null -H 'te: trailers' -H 'content-type: application/grpc' \
      ${2:+-H "authorization: Bearer $2"} --data-binary @- "http://127.0.0.1:9001/FlowDaemon/$1" 2>&1
  }
  local viewer; viewer=$(k -n $NS create token viewer)
  check "the original's calls want a token, too" "grpc-status: 16" original_call PSQuery
  check "a viewer's passes" "grpc-status: 0" original_call PSQuery "$viewer"
  check "as far as it goes" "grpc-status: 7" original_call ApplyWorkflow "$viewer"
}

# Whose tokens count for nothing
tokens() {
  local good own pod
  good=$(k -n $NS create token deployer)
  own=$(k -n $NS create token deployer --audience "users.flowd.$NS.svc")
  check "a token for the API server counts" "flowd +[0-9]" shows "$good" version
  check "so does one that is for nothing but this" "flowd +[0-9]" shows "$own" version
  check "one that is forged does not" "counts for nothing here" shows "${good%.*}.$(tr A-Za-z N-ZA-Mn-za-m <<<"${good##*.}")" version
  check "nor what is none" "counts for nothing here" shows nonsense version
  check "nor one that has run out" "counts for nothing here.*expired" shows "$(changed "$good" exp=1700000000)" version
  check "the same, made for another time, does" "flowd +[0-9]" shows "$(changed "$good" "exp=$(($(date +%s) + 900))")" version
  check "nor one for somebody else" "counts for nothing here" shows "$(k -n $NS create token deployer --audience vault)" version
  pod=$(pod_of "$DEPLOYMENT" profit)
  check "nor a sidecar's" "counts for nothing here" shows "$(token "$DEPLOYMENT" profit "$pod" flowd.$NS.svc)" version
  check "and a user's is no sidecar's" "counts for nothing here" intruder user "$(token "$DEPLOYMENT" profit "$pod" users.flowd.$NS.svc)" "profit.$DEPLOYMENT"
  check "nor is one for the API server" "counts for nothing here" intruder user "$(k -n "$DEPLOYMENT" create token profit)" "profit.$DEPLOYMENT"
  for way in file plugin; do
    plugged viewer $way
    check "a kubeconfig's token may come from a $way" "underpants +COMPLETED|underpants-[0-9a-f]{8}" as viewer-$way ps
  done
  check "flowctl has a token made for the account that is named" "viewer may not create workflows" flow apply "$MODEL" -n $NS --kube-account viewer
  check "of another namespace, too" "serviceaccount:$DEPLOYMENT:profit may not list instances" flow ps -n $NS --kube-account "$DEPLOYMENT/profit"
  check "at an address, too" "viewer may not create workflows" flow apply "$MODEL" --kube-account viewer --flowd_host localhost
  check "who may not have it made is told so" "no token of the service account $NS/viewer .*serviceaccounts/token|cannot create resource .serviceaccounts/token" as nobody ps --kube-account viewer
  k -n $NS delete serviceaccount deployer >/dev/null
  WITHIN=30 check "the token of an account that is gone counts for nothing, some seconds later" "counts for nothing here" shows "$good" version
  check "nor does the one that was for flowd alone" "counts for nothing here" shows "$own" version
}

over_http() {
  local viewer operator
  viewer=$(k -n $NS create token viewer); operator=$(k -n $NS create token operator --audience "users.flowd.$NS.svc")
  for path in /health /ready /metrics; do check "$path is everybody's" "status 200" http - GET $path; done
  for it in "GET /wf_map" "GET /tasks" "GET /topics" "POST /start/underpants" "POST /graphql" "GET /timers" "POST /messages/x" "POST /instances/x/start"; do
    check "$it is nobody's" "no token.*status 401" http - $it
  done
  check "a viewer reads the map" "underpants.*status 200" http "$viewer" GET /wf_map
  check "a viewer starts nothing" "viewer may not create instances.rexflow.io.*status 403" http "$viewer" POST /start/underpants
  check "an operator does" "status 20[0-9]" http "$operator" POST /start/underpants
  check "GraphQL is the operator's" "viewer may not create instances.*status 403" http "$viewer" POST /graphql
  check "who has exposed a start event has it open to everybody" "status 20[0-9]" http - POST /orders users.example
}

# The API server is away: whoever was known goes on
while_away() {
  local operator; operator=$(k -n $NS create token operator)
  check "an operator starts an instance" "status 20[0-9]" http "$operator" POST /start/underpants
  local new; new=$(k -n $NS create token operator --duration 20m)
  in_node kill -STOP "$(cat "$RUN/apiserver.pid")"
  sleep 11
  check "the API server is away: the operator goes on" "status 20[0-9]" http "$operator" POST /start/underpants
  check "nobody new gets in, and is told why" "the API server does not say whose token it is.*status 503" http "$new" POST /start/underpants
  in_node kill -CONT "$(cat "$RUN/apiserver.pid")"
  until_ok 60 k get --raw /readyz
  check "it is back: the new token counts" "status 20[0-9]" http "$new" POST /start/underpants
}
