#!/bin/bash
# Traces of the walk, from a running daemon to a collector: in a build that has them the tree of a turn,
# stage by stage; in one that hasn't a word in the log. Either way services are carried.
# kernel: 6.12
# timeout: 240
# needs: weir example:weir:traced weir-traffic weir-collector
. /weir/tests/lib.sh

serving_cluster 2
dataplane=ipvs
service web 10.96.0.10 80 8080 "$pods"
spans=/tmp/spans
background "$spans" weir-collector 127.0.0.1:4318
collector=$started
within "$soon" grep -q ^listening "$spans"
export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 OTEL_BSP_SCHEDULE_DELAY=100
start_weir
check_equal "the service is carried" "pod1=3 pod2=3" "$(split client 10.96.0.10:80 --count 6)"
check_equal "a build without traces says so once, and which variable asks for them" 1 \
  "$(grep -c 'this build has no traces.*variable="OTEL_EXPORTER_OTLP_ENDPOINT"' "$weir_log")"
stop "$weir"
check_equal "and sends nothing" "" "$(grep -v ^listening "$spans")"

# From here on the build that has them. It starts with an empty kernel, so that its first turn writes.
weir cleanup >/dev/null
mkdir -p /tmp/traced && ln -sf "$(command -v weir-traced)" /tmp/traced/weir
PATH=/tmp/traced:$PATH
start_weir
check_equal "with traces too" "pod1=3 pod2=3" "$(split client 10.96.0.10:80 --count 6)"

# child_of NAME PARENT [WORDS] : a span of that name is in one of the other, in one trace.
child_of() {
  awk -v name="$1" -v parent="$2" -v words="${3:-}" '
    $4 == parent { of[$1 " " $2] = 1 }
    $4 == name && (words == "" || index($0, words)) { at[++n] = $1 " " $3 }
    END { for (i = 1; i <= n; i++) if (at[i] in of) exit 0; exit 1 }' "$spans"
}
export -f child_of
export spans
# comes NAME PARENT [WORDS] : soon.
comes() { within "$soon" child_of "$@" || { cat "$spans"; false; }; }

check "the log says where traces go" grep -q 'traces are sent endpoint="http://127.0.0.1:4318/v1/traces"' "$weir_log"
check "the first turn is in its walk, and full" comes turn walk "full=true"
check "with the node's name" comes turn walk "k8s.node.name=guest"
for step in decide compile plan commit; do check "$step is a step of it" comes "$step" turn; done
check "IPVS is written in it" comes commit-ipvs commit
check "and addresses" comes commit-addresses commit
check "what came in is there" comes fold take-in
check "and what follows" comes follow-up walk
stop "$collector"
: >"$spans"
service web 10.96.0.10 80 8080 "10.1.0.11"
check "without its collector weir carries a change" within "$soon" \
  output_of "$(declare -f destinations); destinations 10.96.0.10:80 | grep -c 10.1.0.12:8080=1 || true" 0
check "which is told once" within "$soon" grep -q "traces can't be sent; told once until they can" "$weir_log"
background "$spans" weir-collector 127.0.0.1:4318
collector=$started
service web 10.96.0.10 80 8080 "$pods"
check "a collector that is back gets the next" comes turn walk "named=shop/web"
check "and the log tells it" within "$soon" grep -q "traces are sent again" "$weir_log"
check_equal "what failed meanwhile was told once" 1 "$(grep -c "traces can't be sent" "$weir_log")"
stop "$collector"
began=$SECONDS
stop "$weir"
check_equal "weir ends without its collector" 0 $?
check_between "and soon" 0 20 $((SECONDS - began))
