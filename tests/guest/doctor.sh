#!/bin/bash
# What doctor says of a node's other inhabitants: kube-proxy's leftovers of every mode, a running one,
# virtual services of others, firewalls, strict reverse path filters. It changes nothing, and is silent
# where there is nothing to tell.
# kernel: 6.12
# also-full: 6.1 7
# timeout: 300
# boot: own
# needs: weir
. /weir/tests/lib.sh

# of TEXT : what the last look said of things that begin so, with what to run.
of() { awk -v it="$1" '/^[a-zA-Z]/ {said = index(substr($0, 9), it) == 1} said' /tmp/doctor; }

# looks [OPTION...] : doctor looks; it succeeds, since nothing that weir needs is missing.
looks() { weir doctor "$@" >/tmp/doctor; }

# told TEXT WHAT FOUND RUN : the last look warns of WHAT, says FOUND and names the command RUN.
told() {
  check "$1" bash -c 'grep -qF -- "WARNING $2" <<<"$1" && grep -qF -- "$3" <<<"$1" && grep -qF -- "$4" <<<"$1" || { echo "$1"; false; }' \
    - "$(of "$2")" "$2" "$3" "$4"
}

# silent TEXT [WHAT] : the last look warns of nothing that begins so.
silent() { check "$1" bash -c '! grep "^WARNING $1" /tmp/doctor' - "${2:-}"; }

# warnings : all that it warned of. Which schedulers a kernel has is its own affair.
warnings() { grep -E '^(WARNING|MISSING)' /tmp/doctor | grep -v '^WARNING scheduler '; }

# state : all that a look could have changed, and what it must have left.
state() {
  nft list ruleset
  ip -o link show | sed 's/ mtu.*//'
  ip -o addr show | sed 's/valid_lft.*//'
  ip route show table all | sed 's/ expires.*//' | sort
  ip -6 route show table all | sed 's/ expires.*//' | sort
  ipvsadm -Sn | sort
  sysctl -a --pattern '(rp_filter|ip_forward|net.ipv4.vs|nf_conntrack_(acct|max|tcp_|udp))' 2>/dev/null
  ipset list -n 2>/dev/null
  grep -c '^ip_set' /proc/modules
}

# unchanged TEXT : a look changes nothing of that.
unchanged() {
  local before
  before=$(state)
  check "$1" looks
  check_equal "$1, and changes nothing" "$before" "$(state)"
}

# load : standard input becomes rules of others.
load() { nft -f - || exit 1; }

# Addresses are what they are at once, not after duplicate address detection.
sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
# A clean node: as weir would have it, and nobody else there.
forwarding
modprobe nf_conntrack && sysctl -qw net.netfilter.nf_conntrack_acct=0
unchanged "a look at a node that counts no packets succeeds"
check "and says that" grep -q '^WARNING net.netfilter.nf_conntrack_acct: is 0' /tmp/doctor
check "init sets the node up" weir init
modprobe -q dummy
looks
check_equal "there is nothing to warn of" "" "$(warnings)"
check "no sign of kube-proxy" grep -q '^ok *kube-proxy: no sign of it' /tmp/doctor
check "no virtual services of others" grep -q '^ok *virtual services of others: none' /tmp/doctor
check "no firewall" grep -q '^ok *firewall: ' /tmp/doctor
check "no strict filters" grep -q '^ok *reverse path filter: ' /tmp/doctor
unchanged "a look at a clean node succeeds"

# What kube-proxy leaves, mode by mode.
ip link add kube-ipvs0 type dummy
load <<'RULES'
table ip kube-proxy {
  chain services { }
}
table ip6 kube-proxy {
  chain services { }
}
table ip nat {
  chain KUBE-SERVICES { }
  chain KUBE-SVC-ERIFXISQEP7F7OF4 { }
  chain KUBE-SEP-A { }
  chain KUBE-SEP-B { }
  chain KUBE-MARK-MASQ { }
}
table ip6 filter {
  chain KUBE-FORWARD { }
}
table ip filter {
  chain KUBE-FIREWALL { }
}
table ip mangle {
  chain KUBE-KUBELET-CANARY { }
}
RULES
ipvsadm -A -t 10.96.0.1:443 -s rr
ipvsadm -A -u '[fd00:96::10]:53' -s rr
unchanged "a look at leftovers succeeds"
told "the device" "device kube-ipvs0" "there" '`ip link delete kube-ipvs0`'
told "the table" "table ip kube-proxy" "there" '`nft delete table ip kube-proxy`'
told "the table of IPv6" "table ip6 kube-proxy" "there" '`nft delete table ip6 kube-proxy`'
told "chains, counted" "chains of kube-proxy in table ip nat" "4: KUBE-" '`kube-proxy --cleanup`'
told "chains of IPv6" "chains of kube-proxy in table ip6 filter" "1: KUBE-FORWARD" \
  '`ip6tables-nft-save | grep -v KUBE- | ip6tables-nft-restore`'
silent "the kubelet's own chains aren't kube-proxy's" "chains of kube-proxy in table ip [fm]"
told "virtual services of others" "virtual services of others" "2: " '`ipvsadm -D -t 10.96.0.1:443`'
told "those of IPv6" "virtual services of others" "[fd00:96::10]:53" '`ipvsadm -D -u [fd00:96::10]:53`'
check "the same in JSON" bash -c 'weir doctor --output json | jq -e ".findings[] | select(.what == \"device kube-ipvs0\" and .verdict == \"warning\")"'
# Beside kube-proxy that is as it should be, unless it takes away what isn't its own.
printf 'apiVersion: weir.dev/v1alpha1\nkind: WeirConfiguration\nserviceProxyName: weir\n' >/tmp/beside.yaml
looks --config /tmp/beside.yaml
told "beside it: the device of IPVS mode" "device kube-ipvs0" "there" '`dataplane: nftables`'
told "beside it: the table of nftables mode" "table ip kube-proxy" "there" '`dataplane: nftables`'
told "beside it: that of IPv6" "table ip6 kube-proxy" "there" '`dataplane: nftables`'
silent "beside it: chains are no trouble" "chains of kube-proxy"
silent "beside it: nor are virtual services" "virtual services of others"
if ipset create KUBE-CLUSTER-IP hash:ip,port && ipset create other hash:ip; then
  unchanged "a look at ipsets succeeds"
  told "ipsets" "ipsets of kube-proxy" "1: KUBE-CLUSTER-IP" 'ipset destroy'
  ipset destroy
else
  skip "ipsets" "no ipset here"
fi
# The commands that were named remove what they are named for.
ip link delete kube-ipvs0 && nft delete table ip kube-proxy && nft delete table ip6 kube-proxy
ipvsadm -D -t 10.96.0.1:443 && ipvsadm -D -u '[fd00:96::10]:53'
nft flush ruleset
looks
check_equal "once they are run there is nothing to warn of" "" "$(warnings)"

# The older iptables.
if modprobe -q iptable_filter && iptables-legacy -S >/dev/null 2>&1 || [ -s /proc/net/ip_tables_names ]; then
  looks
  told "the older iptables" "iptables-legacy" "filter" '`iptables-legacy-save | grep KUBE-`'
  modprobe -qr iptable_filter
else
  skip "the older iptables" "this kernel, or this machine, has none"
fi

# A kube-proxy that runs: by its answer alone.
cat >/tmp/mode <<'SERVER'
#!/bin/bash
read -r request
while read -r header && [ "$header" != $'\r' ]; do :; done
printf 'HTTP/1.0 200 OK\r\n\r\n'
case $request in *" /proxyMode "*) printf nftables ;; esac
SERVER
chmod +x /tmp/mode
background /tmp/mode.log busybox nc -ll -p 10249 -e /tmp/mode
proxy=$started
check "something listens" within 10 bash -c '[ -n "$(ss -Hltn "sport = :10249")" ]'
looks
told "a running kube-proxy" "kube-proxy at port 10249" "runs, in mode nftables" '`kube-proxy --cleanup`'
looks --config /tmp/beside.yaml
check "beside weir it may run" grep -q '^ok *kube-proxy: no sign of one that weir' /tmp/doctor
stop "$proxy" KILL
rm -rf "$manifests" && mkdir "$manifests"
service web 10.96.0.10 80 8080 10.1.0.11
dataplane=ipvs start_weir
check "weir has a virtual service" bash -c 'ipvsadm -Sn | grep -q -- "-A -t 10.96.0.10:80"'
looks
silent "weir's own port isn't taken for it" "kube-proxy"
silent "weir's own table isn't taken for a firewall" firewall
silent "weir's own virtual service isn't taken for others'" "virtual services"
stop "$weir"
weir cleanup >/dev/null

# Firewalls.
load <<'RULES'
table inet walls {
  chain entry { type filter hook input priority 0; policy drop; tcp dport 22 accept; }
  chain through { type filter hook forward priority 0; policy drop; ct state established accept; }
  chain leave { type filter hook output priority 0; policy drop; oifname "lo" accept; }
  chain raw { type filter hook prerouting priority raw; policy drop; accept; }
}
table ip filter {
  chain FORWARD { type filter hook forward priority filter; policy drop; }
}
table ip6 other {
  chain through { type filter hook forward priority 10; policy accept; counter reject; }
}
table inet harmless {
  chain through { type filter hook forward priority 20; policy accept; tcp dport 23 drop; }
}
RULES
unchanged "a look at firewalls succeeds"
told "what is dropped on its way in" firewall "chain entry of table inet walls, hook input" \
  '`nft insert rule inet walls entry tcp dport 30000-32767 accept`'
told "what is dropped on its way through" firewall "chain through of table inet walls, hook forward" \
  '`nft insert rule inet walls through ct status dnat accept`'
told "what is dropped on its way out" firewall "chain leave of table inet walls, hook output" \
  '`nft insert rule inet walls leave ip daddr PODS accept`'
told "a chain of iptables', in its language" firewall "chain FORWARD of table ip filter" \
  '`iptables -t filter -I FORWARD -m conntrack --ctstate DNAT -j ACCEPT`'
told "a last rule that rejects all" firewall "chain through of table ip6 other, hook forward" \
  'drops what none of its rules accepts (its last rule)'
check "rules that drop only some are named" grep -qF \
  'chains with such rules, 1: `nft list chain inet harmless through` (hook forward)' /tmp/doctor
check_equal "and no other chain" 5 "$(grep -c '^WARNING firewall: ' /tmp/doctor)"
nft insert rule inet walls through ct status dnat accept
looks
check_equal "the command lets through what weir translated" 4 "$(grep -c '^WARNING firewall: ' /tmp/doctor)"
check "which is said" grep -q '^ok *firewall: chain through of table inet walls.*what weir translated is accepted' /tmp/doctor
nft flush ruleset

# Strict filters, which matter with more than one way out.
sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
add_client one 10.3.0.1/24 10.3.0.2/24
ip route add default via 10.3.0.2
sysctl -qw net.ipv4.conf.veth-one.rp_filter=1
looks
silent "one way out has no other" "reverse path filter"
add_client two 10.4.0.1/24 10.4.0.2/24
sysctl -qw net.ipv4.conf.veth-two.rp_filter=0
ip route add default via 10.4.0.2 metric 100
unchanged "a look at two ways out succeeds"
told "a strict filter on one of two" "reverse path filter" "strict (1) on veth-one, of 2 uplinks" \
  'sysctl -w net.ipv4.conf.all.rp_filter=2'
sysctl -qw net.ipv4.conf.all.rp_filter=1
looks
told "strict on all" "reverse path filter" "strict (1) on veth-one, veth-two, of 2 uplinks" \
  'sysctl -w net.ipv4.conf.all.rp_filter=2'
sysctl -qw net.ipv4.conf.all.rp_filter=2
looks
silent "the command makes it loose" "reverse path filter"
sysctl -qw net.ipv4.conf.all.rp_filter=0
ip route del default metric 100
ip route del default
