#!/bin/sh
# Writes every node of the cluster into control's settings, and starts control anew. Run it after nodes came or went.
set -eu
namespace=vrouter-system
nodes=$(kubectl get nodes -o jsonpath='{range .items[*]}{.metadata.name}{" "}{.status.addresses[?(@.type=="InternalIP")].address}{"\n"}{end}' |
  awk '{ host = $2; if (host ~ /:/) host = "[" host "]"; printf "\"%s\" = \"http://%s:7000\"\n", $1, host }')
head=$(kubectl -n "$namespace" get configmap vrouter-control -o jsonpath='{.data.vrouter-control\.toml}' | sed '/^\[dataplane\]/,$d')
printf '%s\n[dataplane]\n%s\n' "$head" "$nodes" |
  kubectl -n "$namespace" create configmap vrouter-control --from-file=vrouter-control.toml=/dev/stdin --dry-run=client -o yaml |
  kubectl apply -f -
kubectl -n "$namespace" rollout restart statefulset/vrouter-control
