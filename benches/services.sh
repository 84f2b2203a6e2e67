#!/bin/bash
# What it costs to fill IPVS and to change one destination: in batches, one request at a time, and
# by ipvsadm. Each in a network namespace of its own.
. /weir/measure.sh

ipvs-bench 10000 | measured
