#!/bin/bash
# What it costs to know every local address, and to make VIPs local.
. /weir/measure.sh

link-bench | measured
