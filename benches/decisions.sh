#!/bin/bash
# What it costs to ask policies: in a fresh instance for each decision, and from memory.
# icount: 0
# timeout: 900
# needs: example:weir-policy-host:decisions policies
. /weir/tests/measure.sh

for policy in default annotations; do
  weir-policy-host-decisions "$WEIR_POLICIES/$policy.wasm" 10000 10 | measured "$policy-"
done
