#!/bin/bash
# What it costs to fill IPVS and to change one destination: in batches, one request at a time, and
# by ipvsadm. Each in a network namespace of its own.
# icount: 0
# timeout: 1500
# needs: example:ipvs-rs:bench
. /weir/tests/measure.sh

ipvs-rs-bench 10000 | measured
