#!/bin/sh
# One real Kafka broker (KRaft) on loopback, for tests; needs Java 17 and Maven, which gets 43 MB of jars.
#   kafka.sh install                     gets the jars if absent, into FLOW_SERVERS_DIR (~/.cache/rexflow-servers)
#   kafka.sh run DIR PORT CONTROLLER     in the foreground until it is killed; data in DIR; the ports are loopback's
set -eu
here=$(cd "$(dirname "$0")" && pwd)
lib=${FLOW_SERVERS_DIR:-$HOME/.cache/rexflow-servers}/kafka/lib
case ${1-} in
install)
  command -v java >/dev/null && [ -f "$lib/complete" ] && exit
  if ! command -v java >/dev/null || ! command -v mvn >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq openjdk-17-jre-headless maven >/dev/null
  fi
  mvn -q -B -f "$here/kafka/pom.xml" dependency:copy-dependencies -DoutputDirectory="$lib"
  : >"$lib/complete"
  ;;
run)
  dir=$2 port=$3 controller=$4
  cat >"$dir/server.properties" <<P
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
P
  [ -f "$dir/data/meta.properties" ] ||
    java -cp "$lib/*" kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qg -c "$dir/server.properties"
  exec java -Xmx400m -cp "$lib/*" kafka.Kafka "$dir/server.properties"
  ;;
*)
  echo "usage: kafka.sh install | kafka.sh run DIR PORT CONTROLLER" >&2
  exit 64
  ;;
esac
