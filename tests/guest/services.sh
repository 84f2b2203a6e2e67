#!/bin/bash
# Who answers at every address of a service, and whose address they see: tests/services, every table
# on both dataplanes, with packets of pods here and elsewhere, of the node and of a client outside.
# kernel: 6.12
# also-full: 6.1 7
# timeout: 1800
# boot: own
# needs: weir weir-traffic policies
# files: tests/services
. /weir/tests/lib.sh

soon=180
add_cluster 2
# Pods of other nodes, each on one of its own.
for n in 1 2; do
  add_client remote$n 10.3.$n.1/24 10.3.$n.2/24 fd00:3:$n::1/64 fd00:3:$n::2/64
  give eth0 remote$n 10.1.1.1$n/32 fd00:1:0:1::1$n/128
  ip route add 10.1.1.1$n via 10.3.$n.2
  ip route add fd00:1:0:1::1$n via fd00:3:$n::2
done
ip route add default via 10.2.0.2
ip -6 route add default via fd00:2::2

# Refusals are counted here, not how many of them a second the kernel sends.
sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0 net.ipv4.icmp_msgs_per_sec=100000 net.ipv4.icmp_msgs_burst=10000

listen=()
for protocol in tcp udp sctp; do
  for n in 1 2; do
    listen+=("pod$n=$protocol/"{10.1.0.1$n,"[fd00:1::1$n]"}":8080@pod$n")
    listen+=("remote$n=$protocol/"{10.1.1.1$n,"[fd00:1:0:1::1$n]"}":8080@remote$n")
  done
  listen+=("host=$protocol/"{0.0.0.0,'[::]'}":9000")
done
serve_all "${listen[@]}"

# begin DATAPLANE TABLE : weir with the table's configuration, in an otherwise empty kernel.
begin() {
  {
    printf 'apiVersion: weir.dev/v1alpha1\nkind: WeirConfiguration\n'
    printf 'policies: [{name: annotations, file: %s/annotations.wasm}]\n' "$WEIR_POLICIES"
    sed -n 's/^config: *//p' "$2"
  } >/tmp/weir.yaml
  background "$weir_log" weir run --config /tmp/weir.yaml --manifests "$manifests" --node-name here --dataplane "$1"
  weir=$started
  within "$soon" has_synced
}

# told : what status says of the manifests, without the place in the file.
told() {
  weir status --output json | jq -r '.problems[], .conflicts[]' |
    sed -E 's/^[^ ]*: document [0-9]+, line [0-9]+: //' | sort
}

for folder in "$WEIR_FILES"/tests/services/*/; do
  name=$(basename "$folder")
  rm -f "$manifests"/*
  cp "$folder/cluster.yaml" "$manifests/"
  for table in "$folder"*.txt; do
    [[ $table != */problems.txt ]] || continue
    for on in ipvs nftables; do
      label="$on: $name/$(basename "$table" .txt)"
      if ! begin "$on" "$table"; then
        check "$label: weir starts and syncs" false
        tail -n 20 "$weir_log"
        continue
      fi
      check_equal "$label: nothing is refused" '[]' "$(status_of .refused)"
      check_equal "$label: what is wrong is told, and nothing else" \
        "$(sort "$folder/problems.txt" 2>/dev/null)" "$(told)"
      weir-traffic meet "$table" --dataplane "$on" --label "$label: " || weir_failed=1
      stop "$weir"
      check "$label: clean-up leaves nothing" bash -c "$(declare -f nothing_of_weir vip_routes); weir cleanup && nothing_of_weir"
      # What connection tracking knows of one table's clients is nothing of the next one's.
      conntrack -F 2>/dev/null
    done
  done
done
