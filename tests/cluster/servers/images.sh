#!/usr/bin/env bash
# images.sh make: makes the servers' images as OCI tars in $IMGDIR out of built binaries and this machine's own files.
# images.sh load [TAR...]: brings those, or the given ones, into the running node's containerd; what is there already is skipped.
set -euo pipefail
. "$(dirname "$0")/env.sh"
mk() { # mk OUT NAME OPTIONS... : skipped when the tar is newer than all that goes into it
  local out=$IMGDIR/$1.tar a new=; shift
  for a in "$HERE/images.sh" "$MKIMAGE" "$@"; do
    a=${a%%:*}
    if [ -f "$a" ] && [ "$a" -nt "$out" ]; then new=1; fi
  done
  if [ -z "$new" ] && [ -e "$out" ]; then return; fi
  "$MKIMAGE" "$out.new" "$@" && mv "$out.new" "$out"
}
make_images() {
  mk pause "$IMG/pause:1" --file "$BIN/pause:/pause" --entrypoint /pause
  mk coredns "$IMG/coredns:1" --file "$BIN/coredns:/coredns" --entrypoint /coredns
  mk pilot "$IMG/istio/pilot:$ISTIO_TAG" --file "$BIN/pilot-discovery:/usr/local/bin/pilot-discovery" --dir /tmp:1777 \
    --dir /var/run:755 --entrypoint /usr/local/bin/pilot-discovery --user 1337:1337
  # What sets up redirection: Debian's iptables with its match and target modules, nft and ip.
  local net=() x
  for x in xtables-nft-multi xtables-legacy-multi nft ip; do x=$(command -v $x) && net+=(--file "$(realpath "$x"):/usr/sbin/$(basename "$x"):755"); done
  for x in /usr/lib/x86_64-linux-gnu/xtables/*.so; do net+=(--file "$x:$x"); done
  for x in {ip,ip6}tables{-nft,}{,-save,-restore}; do net+=(--link "xtables-nft-multi:/usr/sbin/$x"); done
  for x in {ip,ip6}tables-legacy{,-save,-restore}; do net+=(--link "xtables-legacy-multi:/usr/sbin/$x"); done
  # proxyv2: pilot-agent (static) and a plain Envoy with its glibc
  mk proxyv2 "$IMG/istio/proxyv2:$ISTIO_TAG" --file "$BIN/envoy:/usr/local/bin/envoy:755" --file "$BIN/pilot-agent:/usr/local/bin/pilot-agent" \
    "${net[@]}" --libs --file "$BIN/envoy_bootstrap.json:/var/lib/istio/envoy/envoy_bootstrap_tmpl.json" \
    $([ -e /etc/ssl/certs/ca-certificates.crt ] && echo --file /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:644) \
    --dir /tmp:1777 --dir /etc/istio/proxy:775:1337 --dir /var/lib/istio/data:775:1337 --dir /run:777 --dir /var/run:777 \
    --text '/etc/passwd=root:x:0:0::/root:/bin/false\nistio-proxy:x:1337:1337::/var/lib/istio:/bin/false\n' \
    --env ISTIO_META_ISTIO_PROXY_SHA=plain-envoy --entrypoint /usr/local/bin/pilot-agent
}
load_images() {
  local t sum
  [ $# -gt 0 ] || set -- "$IMGDIR"/*.tar
  for t in "$@"; do
    sum=$KWORK/containerd/.loaded-$(basename "$t")
    if [ -e "$sum" ] && [ "$sum" -nt "$t" ]; then continue; fi
    in_node ctr -a /run/containerd/containerd.sock -n k8s.io image import --digests=false "$t" >>"$LOG/images.log" 2>&1 && touch "$sum"
  done
}
what=${1:-make}
[ $# = 0 ] || shift
case $what in make) make_images;; load) load_images "$@";; *) die "usage: images.sh make|load [TAR...]";; esac
