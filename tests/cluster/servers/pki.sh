#!/usr/bin/env bash
# Certificates and kubeconfigs, made once with openssl (EC keys).
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$PKI"
[ -e done ] && exit 0
ca() { # ca NAME CN
  openssl ecparam -genkey -name prime256v1 -noout -out "$1.key"
  openssl req -x509 -new -key "$1.key" -days 3650 -subj "/CN=$2" -out "$1.crt" \
    -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature
}
cert() { # cert NAME CA SUBJECT [SAN]
  openssl ecparam -genkey -name prime256v1 -noout -out "$1.key"
  openssl req -new -key "$1.key" -subj "$3" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -CAcreateserial -days 3650 -out "$1.crt" 2>/dev/null \
    -extfile <(printf 'keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n%s\n' "${4:+subjectAltName=$4}")
  rm -f "$1.csr"
}
ca ca kubernetes; ca front-ca front-proxy
first_svc=$(python3 -c 'import ipaddress,sys; print(ipaddress.ip_network(sys.argv[1])[1])' "$SVC_CIDR")
cert apiserver ca /CN=kube-apiserver "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:127.0.0.1,IP:$NODE_IP,IP:$first_svc"
cert kubelet-server ca "/CN=$NODE_NAME" "DNS:$NODE_NAME,IP:$NODE_IP,IP:127.0.0.1"
cert apiserver-kubelet-client ca /O=system:masters/CN=kube-apiserver-kubelet-client
cert front-proxy-client front-ca /CN=front-proxy-client
cert admin ca /O=system:masters/CN=admin
cert controller-manager ca /CN=system:kube-controller-manager
cert scheduler ca /CN=system:kube-scheduler
cert proxy ca /CN=system:kube-proxy
cert kubelet ca "/O=system:nodes/CN=system:node:$NODE_NAME"
openssl genrsa -out sa.key 2048 2>/dev/null
openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
b() { base64 -w0 "$1"; }
for u in admin controller-manager scheduler proxy kubelet; do
  cat > "$u.kubeconfig" <<Y
apiVersion: v1
kind: Config
clusters: [{name: k, cluster: {server: "$APISERVER", certificate-authority-data: "$(b ca.crt)"}}]
users: [{name: $u, user: {client-certificate-data: "$(b $u.crt)", client-key-data: "$(b $u.key)"}}]
contexts: [{name: k, context: {cluster: k, user: $u}}]
current-context: k
Y
done
chmod 600 ./*.key ./*.kubeconfig
touch done
