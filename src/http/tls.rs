//! Certificates from files: the full chain as the file has it, read again when a file changes. A broken file keeps the old ones.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// Why the certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or holds nothing of use.
    #[error("{path}: {reason}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The certificate and the key do not belong together.
    #[error("the certificate and the key cannot be used together: {0}. Name the certificate's own key")]
    Pair(#[from] rustls::Error),
}

/// The certificates in use. Cheap to clone; every clone sees a reload.
#[derive(Clone)]
pub struct Certificates(Arc<Inner>);

struct Inner {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<(Stamp, Arc<ServerConfig>)>,
}

/// What tells that a file has changed: time of change, size and inode of both.
type Stamp = [Option<(i64, i64, u64, u64)>; 2];

impl Certificates {
    /// Reads both files; the certificate first, then the certificates that signed it.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let stamp = stamp(certificate, key);
        let config = read(certificate, key)?;
        Ok(Self(Arc::new(Inner { certificate: certificate.to_owned(), key: key.to_owned(), current: RwLock::new((stamp, config)) })))
    }

    /// For the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.current.read().unwrap_or_else(PoisonError::into_inner).1.clone())
    }

    /// Reads the files again if they changed; true if new certificates are in use. A broken file is told once.
    pub fn refresh(&self) -> Result<bool, TlsError> {
        let stamp = stamp(&self.0.certificate, &self.0.key);
        if self.0.current.read().unwrap_or_else(PoisonError::into_inner).0 == stamp {
            return Ok(false);
        }
        let read = read(&self.0.certificate, &self.0.key);
        let mut current = self.0.current.write().unwrap_or_else(PoisonError::into_inner);
        current.0 = stamp;
        current.1 = read?;
        Ok(true)
    }

    /// Looks at the files until told to stop.
    pub async fn watch(self, stop: CancellationToken) {
        while tokio::time::timeout(LOOK, stop.cancelled()).await.is_err() {
            match self.refresh() {
                Ok(true) => tracing::info!("new certificates are in use"),
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "the new certificates cannot be used; the old ones stay"),
            }
        }
    }
}

fn stamp(certificate: &Path, key: &Path) -> Stamp {
    [certificate, key].map(|path| std::fs::metadata(path).ok().map(|file| (file.mtime(), file.mtime_nsec(), file.size(), file.ino())))
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let told = |path: &Path, reason: String| TlsError::File { path: path.to_owned(), reason };
    let mode = std::fs::metadata(key).map_err(|error| told(key, format!("{error}. Name a readable file")))?.mode();
    if mode & 0o004 != 0 {
        return Err(told(key, "everybody on this machine may read the key. Run chmod o-r on it".to_owned()));
    }
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| told(certificate, format!("{error}. Name a readable PEM file")))?;
    if chain.is_empty() {
        return Err(told(certificate, "no certificate is in it. Name a PEM file with the certificate and those that signed it".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| told(key, format!("{error}. Name a PEM file with the private key")))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
