//! The kernel series that guests run, and where Debian publishes them. Pure.

use std::{fmt, str::FromStr};

use crate::error::Error;

/// A kernel series of Debian's cloud flavour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Series {
    /// Debian 12's own.
    V6_1,
    /// Debian 13's own, in Debian 12's backports.
    V6_12,
    /// Debian 13's backports.
    V7,
}

impl Series {
    /// Every series, oldest first.
    pub const ALL: [Self; 3] = [Self::V6_1, Self::V6_12, Self::V7];
    /// The series a guest runs when none is named.
    pub const DEFAULT: Self = Self::V6_12;

    /// The name as users write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::V7 => "7",
        }
    }

    /// Groups of suites that publish the series; the first group that has one is taken.
    /// 6.12 is asked of Debian 12 first because those indexes are a tenth of a release's.
    pub(crate) const fn suites(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::V6_1 => &[&["bookworm", "bookworm-security"]],
            Self::V6_12 => {
                &[&["bookworm-backports", "bookworm-security"], &["trixie", "trixie-security"]]
            }
            Self::V7 => &[&["trixie-backports"]],
        }
    }

    /// The release (`uname -r`) in a package name such as `linux-image-6.1.0-44-cloud-amd64`,
    /// if it is of this series. Meta packages, debug symbols and unsigned images are not.
    pub(crate) fn release(self, package: &str) -> Option<&str> {
        let release = package.strip_prefix("linux-image-")?;
        let version = release.strip_suffix("-cloud-amd64")?;
        let rest = version.strip_prefix(self.name())?.strip_prefix('.')?;
        rest.starts_with(|c: char| c.is_ascii_digit()).then_some(release)
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Series {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|series| series.name() == text)
            .ok_or_else(|| Error::Series(text.to_owned()))
    }
}

/// The numbers in a release, for "newer than": `6.12.9+deb12` before `6.12.10+deb12`.
pub(crate) fn numbers(release: &str) -> Vec<u64> {
    release.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_read_from_image_packages_of_its_own_series_only() {
        let cases = [
            (Series::V6_1, "linux-image-6.1.0-44-cloud-amd64", Some("6.1.0-44-cloud-amd64")),
            (Series::V6_1, "linux-image-6.12.9+deb12-cloud-amd64", None),
            (
                Series::V6_12,
                "linux-image-6.12.9+deb12-cloud-amd64",
                Some("6.12.9+deb12-cloud-amd64"),
            ),
            (Series::V6_12, "linux-image-6.12.9+deb12-cloud-amd64-unsigned", None),
            (Series::V6_12, "linux-image-6.12.9+deb12-amd64", None),
            (Series::V6_12, "linux-image-6.12.9+deb12-rt-amd64", None),
            (Series::V7, "linux-image-7.0.3+deb13-cloud-amd64", Some("7.0.3+deb13-cloud-amd64")),
            (Series::V7, "linux-image-cloud-amd64", None),
            (Series::V7, "linux-headers-7.0.3+deb13-cloud-amd64", None),
            (Series::V7, "linux-image-7.-cloud-amd64", None),
        ];
        for (series, package, want) in cases {
            assert_eq!(series.release(package), want, "{series} {package}");
        }
    }

    #[test]
    fn releases_order_by_number_not_by_letter() {
        assert!(numbers("6.12.10+deb12-cloud-amd64") > numbers("6.12.9+deb12-cloud-amd64"));
        assert!(numbers("6.1.0-44-cloud-amd64") > numbers("6.1.0-9-cloud-amd64"));
    }

    #[test]
    fn names_round_trip_and_others_are_refused() {
        for series in Series::ALL {
            assert_eq!(series.name().parse::<Series>().unwrap(), series);
        }
        assert!("6".parse::<Series>().is_err());
    }
}
