#!/bin/bash
# weir-link against a real kernel: the dummy device, VIPs as routes and as addresses, what is
# observed, and the view that events keep current, also when they are lost.
# kernel: 6.12
# also: 6.1 7
# timeout: 240
# needs: example:weir-link:link-check
. /weir/tests/lib.sh

# Its own lines say what went wrong. Each check makes a network namespace of its own.
/weir/bin/weir-link-link-check || weir_failed=1
