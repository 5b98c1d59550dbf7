#!/bin/sh
# One NATS server with JetStream on loopback, for tests.
#   nats.sh install          installs it if absent: Debian's nats-server
#   nats.sh run DIR PORT     in the foreground until it is killed; data in DIR
set -eu
PATH=$PATH:/usr/sbin
case ${1-} in
install)
  command -v nats-server >/dev/null && exit
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq nats-server >/dev/null
  ;;
run) exec nats-server --jetstream --addr 127.0.0.1 --port "$3" --store_dir "$2" ;;
*)
  echo "usage: nats.sh install | nats.sh run DIR PORT" >&2
  exit 64
  ;;
esac
