//! A ServiceCIDR. Pure.

use ipnet::IpNet;
use k8s_openapi::api::networking::v1 as api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use weir_core::model::ServiceCidr;
use weir_core::net::Family;
use weir_core::ranges;

use super::fault::{Converted, Faults};
use super::meta;

/// A ServiceCIDR of `networking.k8s.io/v1` (Kubernetes 1.33) or `v1beta1` (1.31), which has the same
/// fields. The type of `k8s_openapi` can be read from `v1` alone.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceCidrObject {
    #[serde(rename = "apiVersion")]
    _api_version: Option<String>,
    #[serde(rename = "kind")]
    _kind: Option<String>,
    /// Its name; a time of deletion has no meaning while the object is there.
    pub metadata: Option<ObjectMeta>,
    /// The ranges.
    pub spec: Option<api::ServiceCIDRSpec>,
    #[serde(rename = "status")]
    _status: Option<api::ServiceCIDRStatus>,
}

/// Converts a ServiceCIDR. Refused without a name, and without a range that can be meant. Ranges are
/// read as strictly as by the API server (`ValidateServiceCIDR` of
/// kubernetes/pkg/apis/networking/validation), since what is in them and unused is dropped.
pub fn service_cidr(from: ServiceCidrObject) -> Converted<ServiceCidr> {
    let mut faults = Faults::default();
    let name = meta::name(&from.metadata.unwrap_or_default(), &mut faults);
    let given = from.spec.and_then(|spec| spec.cidrs).unwrap_or_default();
    if given.is_empty() {
        faults.add("spec.cidrs", "has no range");
    }
    let ranges = ranges_of(&given, &mut faults);
    let object = name.filter(|_| !ranges.is_empty()).map(|name| ServiceCidr { name, ranges });
    faults.conclude(object)
}

fn ranges_of(given: &[String], faults: &mut Faults) -> Vec<IpNet> {
    let mut ranges: Vec<IpNet> = Vec::new();
    for (i, text) in given.iter().enumerate() {
        let field = format_args!("spec.cidrs[{i}]");
        let Some(range) = faults.keep(field, range(text)) else { continue };
        let family = Family::of(range.addr());
        if ranges.iter().any(|earlier| Family::of(earlier.addr()) == family) {
            faults.lose(field, format_args!("{range} is a second {family} range; left out"));
            continue;
        }
        ranges.push(range);
    }
    ranges
}

fn range(text: &str) -> Result<IpNet, String> {
    let range: IpNet =
        text.parse().map_err(|_| format!("{text:?} is not a range such as 10.96.0.0/16"))?;
    if range != range.trunc() {
        return Err(format!("{text} has bits after its prefix; is {} meant?", range.trunc()));
    }
    ranges::check(range).map(|()| range)
}
