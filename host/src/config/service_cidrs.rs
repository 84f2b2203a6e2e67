//! List `serviceCIDRs`: where addresses of Services are handed out from. Pure.

use weir_core::ranges;

use super::fault::Problem;
use super::masquerade::Masquerade;
use super::text::Cidr;

/// More ranges than a cluster grows to: each ServiceCIDR object adds two at most.
const MOST: usize = 64;

pub(super) fn check(list: &[Cidr], masquerade: &Masquerade, problems: &mut Vec<Problem>) {
    if list.len() > MOST {
        let text = format!("{} ranges, the most is {MOST}", list.len());
        return problems.push(Problem::new("serviceCIDRs", text));
    }
    for (index, range) in list.iter().enumerate() {
        let pods = masquerade.detect_local.cluster_cidrs.as_slice();
        if let Some(text) = wrong(*range, &list[..index], pods) {
            problems.push(Problem::new(&format!("serviceCIDRs[{index}]"), text));
        }
    }
}

/// Why Services can't have their addresses from `range`.
fn wrong(range: Cidr, earlier: &[Cidr], pods: &[Cidr]) -> Option<String> {
    if let Err(text) = ranges::check(range.get()) {
        return Some(text);
    }
    let overlaps = |other: &&Cidr| ranges::overlap(range.get(), other.get());
    if earlier.contains(&range) {
        return Some(format!("{range} stands here twice"));
    }
    if let Some(other) = earlier.iter().find(overlaps) {
        return Some(format!(
            "{range} overlaps {other}, which stands before it: keep the wider one"
        ));
    }
    // What is in a service range and belongs to no Service is dropped.
    let pods = pods.iter().find(overlaps)?;
    Some(format!("{range} overlaps {pods}, a range of pods (masquerade.detectLocal.clusterCIDRs)"))
}
