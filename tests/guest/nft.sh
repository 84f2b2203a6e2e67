#!/bin/bash
# weir-nft against a real kernel, with nft as the oracle: what is written, refused, read back and
# heard; 10,000 services in a batch.
# kernel: 6.12
# also: 6.1 7
# timeout: 240
# needs: test:weir-nft:kernel
. /weir/tests/lib.sh

for test in $(weir-nft-kernel --list --format terse | sed -n 's/: test$//p'); do
  check "${test//_/ }" weir-nft-kernel --exact "$test" --nocapture
done
