//! Who vouches for the server: a CA of the test's own, and certificates signed by it.

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    /// A new one, unlike every other.
    ///
    /// # Errors
    /// No key can be made.
    pub fn new(name: &str) -> Result<Self> {
        let key = KeyPair::generate().context("make a key")?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).context("sign the CA")?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// Its certificate, as a kubeconfig or `ca.crt` holds it.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a server on any loopback address or one of `names`.
    ///
    /// # Errors
    /// A name can't stand in a certificate.
    pub(crate) fn certify(
        &self,
        names: &[String],
    ) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
        let local = ["127.0.0.1", "::1", "localhost"].map(str::to_owned);
        let params = CertificateParams::new([&local[..], names].concat()).context("names")?;
        let key = KeyPair::generate().context("make a key")?;
        let certificate = params.signed_by(&key, &self.issuer).context("sign")?;
        let der = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|error| anyhow::anyhow!("a key that was just made: {error}"))?;
        Ok((certificate.der().clone(), der))
    }
}
