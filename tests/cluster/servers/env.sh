# Shared settings; every value can be set from outside. Sourced by the other scripts.
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
MKIMAGE=$HERE/../../../deploy/images/image.py
: "${KWORK:=${XDG_CACHE_HOME:-$HOME/.cache}/rexflow-cluster}"   # everything that is built or written lands here
: "${NODE_NAME:=node1}"
: "${NODE_IP:=10.99.0.2}"                   # lives only inside the node's network namespace
: "${POD_CIDR:=10.244.0.0/24}"
: "${SVC_CIDR:=10.96.0.0/16}"
: "${DNS_IP:=10.96.0.10}"
: "${CGROUP_ROOT:=/k8s-$NODE_NAME}"         # cgroup v1 parent of all pods
: "${PROXY_MODE:=iptables}"                 # kube-proxy: iptables or nftables
: "${IMG:=localhost}"                       # prefix of the locally made images
: "${ISTIO_TAG:=1.31-dev}"
BIN=$KWORK/bin; RUN=$KWORK/run; LOG=$KWORK/log; PKI=$KWORK/pki; CONF=$KWORK/conf; IMGDIR=$KWORK/images
APISERVER=https://$NODE_IP:6443
export KUBECONFIG=$PKI/admin.kubeconfig
mkdir -p "$BIN" "$RUN" "$LOG" "$PKI" "$CONF" "$IMGDIR"

say() { printf '[%s] %s\n' "$(date +%T)" "$*"; }
die() { say "ERROR: $*" >&2; exit 1; }

# The pid of the node's init as the host sees it (the one child of `unshare`).
node_pid() {
  local p c
  p=$(cat "$RUN/node.pid" 2>/dev/null) && [ -d "/proc/$p" ] || return 1
  c=$(cat "/proc/$p/task/$p/children" 2>/dev/null); c=${c%% *}
  [ -n "$c" ] && echo "$c"
}
# Run a command inside the node: its mount, network, pid, ipc and uts namespaces.
in_node() { local p; p=$(node_pid) || die "the node is not up"; nsenter -t "$p" -m -n -p -i -u -- "$@"; }
# Run a command of the host's file system in the node's network only.
in_net() { local p; p=$(node_pid) || die "the node is not up"; nsenter -t "$p" -n -- "$@"; }
# Start a daemon in the node: daemon NAME CMD... ; log in $LOG/NAME.log, pid (in the node) in $RUN/NAME.pid
daemon() {
  local name=$1; shift
  in_node bash -c 'name=$1 log=$2 run=$3; shift 3; setsid "$@" >>"$log/$name.log" 2>&1 </dev/null & echo $! >"$run/$name.pid"' \
    _ "$name" "$LOG" "$RUN" "$@"
}
# until_ok SECONDS CMD... : repeat until it succeeds
until_ok() {
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || return 1; sleep 0.3; done
}
k() { in_net "$BIN/kube" ctl --kubeconfig "$KUBECONFIG" "$@"; }
