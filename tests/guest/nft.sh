#!/bin/bash
# weir-nft against a real kernel, with nft as the oracle: what is written, refused, read back and
# heard; 10,000 services in a batch.
# kernel: 6.12
# also: 6.1 7
# timeout: 240
# needs: test:weir-nft:kernel
. /weir/tests/lib.sh

# Its own lines say what went wrong.
/weir/bin/weir-nft-kernel --test-threads 1 --nocapture || weir_failed=1
