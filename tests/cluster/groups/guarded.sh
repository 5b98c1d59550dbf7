# Who may offer, under Istio.
guarded() {
  local address
  address=$(k -n "$DEPLOYMENT" get pod -l app=secret-sauce -o 'jsonpath={.items[0].status.podIP}')
  k create namespace stranger --dry-run=client -o yaml | k apply -f - >/dev/null
  k label namespace stranger istio-injection=enabled --overwrite >/dev/null
  until_ok 30 k -n stranger get serviceaccount default
  k -n stranger apply -f - >/dev/null <<Y
apiVersion: v1
kind: Pod
metadata: {name: thief, labels: {app: thief}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: thief
    image: $IMG/flow-sidecar:$VERSION
    args: [probe, started, --admin, "secret-sauce-flow.$DEPLOYMENT.svc.cluster.local:7001"]
  restartPolicy: Never
Y
  check "another service account is refused at the hop port" "answers 403|403 Forbidden" k -n stranger logs thief -c thief
  plain() { in_net curl -sS -m 5 --http2-prior-knowledge "http://$1:7001/" 2>&1; }
  check "plain text to the hop port is refused" "reset|closed|refused|not the right|Failure|failed" plain "$address"
  local before after
  before=$(flow ps -i -o=name | wc -l)
  in_net curl -sS -m 5 -X POST -H 'content-type: application/json' -H 'x-rexflow-iid: forged' -H 'x-flow-id: forged' -d '{}' "http://$address:5000/" >/dev/null
  after=$(flow ps -i -o=name | wc -l)
  check "a forged request to the task's own port starts nothing" "^same$" bash -c "[ $before = $after ] && echo same"
}
