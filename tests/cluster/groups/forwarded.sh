# flowctl finds flowd by itself: no address is said, and nobody forwards the port for it.

forwarded() {
  local meant="cannot reach flowd: nobody listens at localhost:9001, and "
  unforward
  check "flowctl comes by a port-forward of its own, and says so" "^flowd in $NS/flowd-[01] by port-forward" flow ps
  check "an instance completes" "COMPLETED|Positive" flow run underpants '{}' --wait
  alone() { flow ps -o=json 2>/dev/null | python3 -c 'import json, sys; print("instances:", len(json.load(sys.stdin)))'; }
  check "data alone is on standard output" "^instances: [1-9]" alone
  never "what needs no flowd asks for none" "port-forward|cannot reach" flow validate "$MODEL"
  check "a namespace without flowd is named" "cannot reach flowd: there is no flowd in the namespace default of the cluster at https://" flow ps -n default
  KUBECONFIG=/nowhere check "no cluster, nobody on this machine: both ways are named" "${meant}no cluster is named" flow ps
  KUBECONFIG=/nowhere check "with what to do" "flowctl dev.*--flowd_host.*KUBECONFIG" flow ps
  lacking
  several
  forward
  near() { flow version 2>&1 | tr '\n' ' '; }
  check "whoever listens on this machine goes first" "^flowctl [0-9.]+ flowd +[0-9]" near
  check "unless the mesh is said" "flowd in $NS/flowd-[01] by port-forward" flow version -n $NS
}

# a user with few rights is told which one is lacking, and needs no others
lacking() {
  local user=$WORK/looker.kubeconfig
  k -n $NS create serviceaccount looker >/dev/null
  k -n $NS create role looker --verb=list --resource=pods >/dev/null
  k -n $NS create rolebinding looker --role=looker --serviceaccount=$NS:looker >/dev/null
  cp "$KUBECONFIG" "$user"
  "$BIN/kube" ctl --kubeconfig "$user" config set-credentials looker --token="$(k -n $NS create token looker)" >/dev/null
  "$BIN/kube" ctl --kubeconfig "$user" config set-context --current --user=looker >/dev/null
  KUBECONFIG=$user check "who may not forward is told so" "${meant}you may not forward ports of pods in the namespace $NS: .*looker.*pods/portforward" flow ps
  KUBECONFIG=$user check "and which right is lacking" "ask for the right to .get. and .create. pods/portforward in $NS" flow ps
  k -n $NS create role forwarder --verb=get,create --resource=pods/portforward >/dev/null
  k -n $NS create rolebinding forwarder --role=forwarder --serviceaccount=$NS:looker >/dev/null
  KUBECONFIG=$user check "with it and no other it works" "flowd +[0-9]" flow version
  k -n $NS delete rolebinding/looker rolebinding/forwarder role/looker role/forwarder serviceaccount/looker >/dev/null
}

# of two meshes in a cluster one must be said
several() {
  k create namespace second >/dev/null
  k -n second create service clusterip flowd --tcp=9001 >/dev/null
  k -n second label service flowd app.kubernetes.io/name=flowd >/dev/null
  check "several meshes are named" "${meant}there are several meshes in the cluster, in the namespaces $NS, second" flow ps
  FLOW_NAMESPACE=$NS check "FLOW_NAMESPACE says which" "flowd in $NS/flowd-[01] by port-forward" flow ps
  check "so does --namespace" "flowd in $NS/flowd-[01] by port-forward" flow ps --namespace $NS
  k delete namespace second --wait=false >/dev/null
  k -n second delete service flowd >/dev/null
}
