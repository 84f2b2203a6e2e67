# The guest's side of `weir-vm test`: runs the scripts named in WEIR_SCRIPTS ("NAME SECONDS", one
# a line) one after another, and sees to it that none of them meets what another left behind.

# Links that the kernel makes by itself when a tunnel's module loads.
fallback='^(lo|tunl0|sit0|gre0|gretap0|erspan0|ip_vti0|ip6_vti0|ip6tnl0|ip6gre0)$'

links() { ip -o link show | sed 's/^[0-9]*: //; s/[@:].*//' | grep -Ev "$fallback"; }
routes() { { ip -4 route show table all; ip -6 route show table all; ip -o addr show; ip rule; } | sed 's/ expires.*//; s/valid_lft.*//' | sort; }
services() { tail -n +4 /proc/net/ip_vs 2>/dev/null; }

# Processes of another session than this one's; kernel threads and init's have session 0.
strangers() {
  local stat rest
  for stat in /proc/[0-9]*/stat; do
    rest=$(cat "$stat" 2>/dev/null) || continue
    rest=${rest##*) }
    set -- $rest
    [ "$1" = Z ] || [ "$4" = 0 ] || [ "$4" = "$session" ] || basename "$(dirname "$stat")"
  done
}

# Prints what a script left, and takes it away.
clean_up() {
  local found pids
  pids=$(strangers)
  if [ -n "$pids" ]; then
    for pid in $pids; do printf 'process %s; ' "$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | cut -c1-60)"; done
    kill -9 $pids 2>/dev/null
  fi
  found=$(ip netns list | cut -d' ' -f1)
  if [ -n "$found" ]; then echo -n "network namespaces $(echo $found); "; ip -all netns delete; fi
  found=$(services)
  if [ -n "$found" ]; then echo -n "IPVS services; "; ipvsadm -C; fi
  found=$(nft list tables)
  if [ -n "$found" ]; then echo -n "$(echo $found); "; nft flush ruleset; fi
  found=$(links)
  if [ -n "$found" ]; then echo -n "links $(echo $found); "; for link in $found; do ip link delete "$link"; done; fi
  found=$(diff <(echo "$routes_before") <(routes) | grep '^>')
  if [ -n "$found" ]; then echo -n "routes $(echo $found); "; fi
  conntrack -F >/dev/null 2>&1
  rm -rf /run/weir /var/lib/weir /etc/weir
}

session=$(cut -d' ' -f6 /proc/$$/stat)
routes_before=$(routes)
cd /weir/tests
while read -r name limit; do
  printf '\nweir-suite begin %s\n' "$name"
  # A session of its own, by which its processes are known afterwards.
  setsid --wait timeout --kill-after=5 "$limit" bash "/weir/tests/$name.sh" 2>&1 </dev/null
  status=$?
  left=$(clean_up 2>/dev/null)
  printf '\nweir-suite end %s %s\n' "$status" "$left"
done <<<"$WEIR_SCRIPTS"
