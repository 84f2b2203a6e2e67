#!/bin/bash
# What it costs to know every local address, and to make VIPs local.
# icount: 0
# timeout: 1500
# needs: example:weir-link:bench
. /weir/tests/measure.sh

weir-link-bench | measured
