#!/bin/sh
# Puts the CNI plugin and its configuration on the host, each as a whole or not at all: engines may look at any moment.
#
#   install-cni             copies /usr/lib/cni/vrouter-cni to $CNI_BIN, and the template $CNI_TEMPLATE to $CNI_NET/10-vrouter.conflist, with
#                           @NODE@ and @CONTROL@ replaced by $NODE_NAME and $CONTROL_ADDRESS
#   install-cni --remove    removes the configuration (the plugin stays: containers that run are still to be deleted with it)
set -eu

plugin=${CNI_PLUGIN:-/usr/lib/cni/vrouter-cni}
bin=${CNI_BIN:-/host/opt/cni/bin}
net=${CNI_NET:-/host/etc/cni/net.d}
file=$net/10-vrouter.conflist

if [ "${1:-}" = --remove ]; then
  rm -f "$file"
  exit
fi

: "${NODE_NAME:?which node is this}" "${CONTROL_ADDRESS:?where is control}" "${CNI_TEMPLATE:?which template}"
mkdir -p "$bin" "$net"
trap 'rm -f "$bin/.vrouter-cni.$$" "$net/.vrouter.$$"' EXIT
cp "$plugin" "$bin/.vrouter-cni.$$"
chmod 755 "$bin/.vrouter-cni.$$"
sed -e "s|@NODE@|$NODE_NAME|g" -e "s|@CONTROL@|$CONTROL_ADDRESS|g" "$CNI_TEMPLATE" >"$net/.vrouter.$$"
chmod 644 "$net/.vrouter.$$"
# The plugin before what names it.
mv "$bin/.vrouter-cni.$$" "$bin/vrouter-cni"
mv "$net/.vrouter.$$" "$file"
echo "installed $bin/vrouter-cni and $file"
