#!/bin/bash
# What it costs to ask policies: in a fresh instance for each decision, and from memory.
. /weir/measure.sh

for policy in default annotations; do
  decisions "/weir/$policy.wasm" 10000 10 | measured "$policy-"
done
