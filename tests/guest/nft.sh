#!/bin/bash
# weir-nft against a real kernel, with nft as the oracle: what is written, refused, read back and
# heard; 10,000 services in a batch.
# kernel: 6.12
# also: 6.1 7
# timeout: 240
# needs: test:weir-nft:kernel
. /weir/tests/lib.sh

# ran TEST : it did something, and that succeeded.
ran() {
  local said status
  said=$(weir-nft-kernel --exact "$1" --nocapture 2>&1)
  status=$?
  echo "$said"
  [ "$status" -eq 0 ] && ! grep -q SKIPPED <<<"$said" && grep -q '^test result: ok. 1 passed' <<<"$said"
}
for test in $(weir-nft-kernel --list --format terse | sed -n 's/: test$//p'); do
  check "${test//_/ }" ran "$test"
done
