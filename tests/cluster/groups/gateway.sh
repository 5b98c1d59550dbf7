# Ways in through a Gateway that Istio makes: start events by host and path, and flowd's gRPC.
gateway() {
  local document=$WORK/way.yaml
  way() { printf 'action: %s\nhost: %s\nwf_id: %s\nargs: {path: %s}\n' "$@" >"$document"; flow update "$document"; }
  check "without a gateway, update says what to do" "no gateway leads here: name one with the chart's gateway.name" way expose_ingress shop.test underpants /orders
  check "and so does describe" "Ingress: +shop.test/orders to .* \(no gateway leads here: " flow describe -d underpants
  never "nothing is written for it" "httproute" k -n $NS get httproute -o name

  chart --set gateway.name=edge,gateway.grpc.host=flowd --set gateway.create=false
  check "check says that the gateway is not there" "failed +gateway $NS/edge takes requests: it is not there" flow check
  check "and so does describe" "gateway $NS/edge: no gateway has taken it yet: .kubectl -n $NS get gateway edge" flow describe -d underpants

  k -n $NS create secret tls edge-tls --cert="$PKI/apiserver.crt" --key="$PKI/apiserver.key" >/dev/null
  chart --set gateway.name=edge,gateway.create=true,gateway.tlsSecret=edge-tls,gateway.grpc.host=flowd \
    --set 'gateway.annotations.networking\.istio\.io/service-type=ClusterIP'
  WITHIN=90 check "Istio makes the gateway" "condition met" k -n $NS wait --for=condition=Programmed gateway/edge --timeout=80s
  check "check finds it" "ok +gateway $NS/edge takes requests" flow check
  check "the way in leads to its start event" "shop.test/orders to .* \(by gateway $NS/edge\)" flow describe -d underpants

  local edge; edge=$(k -n $NS get service edge-istio -o 'jsonpath={.spec.clusterIP}')
  # from HOST PATH : what a request gets that comes by the gateway
  from() { in_net curl -sS -m 20 -o - -w ' %{http_code}' -X POST -H "host: $1" -H 'content-type: application/json' -d '{}' "http://$edge$2"; }
  check "a request by the gateway gets the result" "Positive.* 200$" from shop.test /orders/wrapper
  check "or its instance's id" "\"id\":.*underpants.* 20[0-9]$" from shop.test /orders
  check "by TLS, too" "Positive.* 200$" in_net curl -sSk -m 20 -o - -w ' %{http_code}' -X POST --resolve "shop.test:443:$edge" \
    -H 'content-type: application/json' -d '{}' https://shop.test/orders/wrapper
  for path in / /orders/x /start/underpants /metrics; do check "nothing else is behind it: $path" " 404$" from shop.test $path; done
  check "nor under another host" " 404$" from other.test /orders/wrapper
  second
  operators
  moved
  check "clear_ingress closes it" "Cleared 1 of shop.test" way clear_ingress shop.test underpants /orders
  check "nobody is let in any more" " 404$" from shop.test /orders/wrapper
  chart
  check "no route is left, and no gateway" "No resources found" k -n $NS get httproute,grpcroute,gateway
  k -n $NS delete secret edge-tls >/dev/null
}

# another process behind another host: neither sees the other
second() {
  sed 's/"underpants"/"socks"/g' "$MODEL" >"$WORK/socks.bpmn"
  flow apply "$WORK/socks.bpmn" >/dev/null
  WITHIN=120 check "a second process is RUNNING" "socks +RUNNING" flow ps -d
  check "it cannot take the first one's host and path" "shop.test/orders leads to underpants-[0-9a-f]+: clear_ingress it there first" way expose_ingress shop.test socks /orders
  check "it gets a host of its own" "socks.test/ starts" way expose_ingress socks.test socks /
  check "and is reached there" "\"id\":.*socks-.* 20[0-9]$" from socks.test /
  check "while the first is where it was" "\"id\":.*underpants-.* 20[0-9]$" from shop.test /orders
  check "a deployment with a way in is not stopped without force" "still has exposed Ingress" flow stop -d socks
  flow stop -d socks --force >/dev/null
  check "once it is stopped nobody is let in" " 404$" from socks.test /
  check "its route is gone, the other's is not" "^1$" count httproute k -n $NS get httproute -o name
  flow delete -d socks --force >/dev/null
}

# flowctl through the gateway, under the name that the original's clients call, and under one of DNS
operators() {
  around() { in_net "$FLOWCTL" --flowd_host "$edge" --flowd_port 80 "$@"; }
  check "flowctl lists through the gateway" "underpants-[0-9a-f]+ +underpants +RUNNING" around ps -d
  check "and runs" "COMPLETED|Positive" around run underpants '{}' --wait
  k -n $NS patch grpcroute flowd --type=merge -p '{"spec":{"hostnames":["flowd.edge.test"]}}' >/dev/null
  # names of this test alone, in a mount namespace of its own
  by_name() { in_net unshare --mount bash -c 'printf "%s flowd.edge.test kubernetes.default.svc\n" "$0" >"$1"; mount --bind "$1" /etc/hosts; shift; exec "$@"' "$edge" "$WORK/hosts" "$@"; }
  check "under a name of its own" "underpants +RUNNING" by_name "$FLOWCTL" --flowd_host flowd.edge.test --flowd_port 80 ps -d
  k -n $NS patch grpcroute flowd --type=merge -p '{"spec":{"hostnames":["kubernetes.default.svc"]}}' >/dev/null
  check "and by TLS, with the gateway's certificate for that name" "underpants +RUNNING" \
    by_name "$FLOWCTL" --tls-ca "$PKI/ca.crt" --flowd_host kubernetes.default.svc --flowd_port 443 ps -d
  check "a certificate for another name is refused" "flowd.edge.test.*(NotValidForName|not valid for)" \
    by_name "$FLOWCTL" --tls-ca "$PKI/ca.crt" --flowd_host flowd.edge.test --flowd_port 443 ps -d
  # what Envoy answers by itself, and whom it has asked
  headers() {
    in_net curl -sS -m 5 --http2-prior-knowledge -D - -o /dev/null -X POST -H 'content-type: application/grpc' -H 'te: trailers' -H 'host: kubernetes.default.svc' "http://$edge/$1" |
      tr -d '\r' | grep -oE '^(grpc-status|x-envoy-upstream)[^:]*: *[0-9]+' | tr '\n' ' '
  }
  check "an operator's call is led to flowd" "x-envoy-upstream" headers flow.v1.Flow/Version
  check "a sidecar's is not" "^grpc-status: 12 $" headers flow.v1.Control/Attach
}

# what others change of a route is taken back
moved() {
  local route; route=$(k -n $NS get httproute -o name)
  k -n $NS patch "$route" --type=merge -p '{"spec":{"hostnames":["stolen.test"]}}' >/dev/null
  check "a route that was changed is taken back" "^\[\"shop.test\"\]$" k -n $NS get "$route" -o 'jsonpath={.spec.hostnames}'
  k -n $NS delete "$route" >/dev/null
  check "one that was deleted is there again" "Positive.* 200$" from shop.test /orders/wrapper
}
