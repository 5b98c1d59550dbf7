#!/bin/sh
# One Prometheus on loopback, for tests.
#   prometheus.sh install          installs it if absent: Debian's prometheus, with promtool
#   prometheus.sh run DIR PORT     in the foreground until it is killed; DIR/prometheus.yml says what it scrapes, data in DIR
set -eu
case ${1-} in
install)
  command -v prometheus >/dev/null && command -v promtool >/dev/null && exit
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus >/dev/null
  ;;
run)
  exec prometheus --config.file="$2/prometheus.yml" --storage.tsdb.path="$2/data" --web.listen-address="127.0.0.1:$3" \
    --enable-feature=exemplar-storage --log.level=warn
  ;;
*)
  echo "usage: prometheus.sh install | prometheus.sh run DIR PORT" >&2
  exit 64
  ;;
esac
