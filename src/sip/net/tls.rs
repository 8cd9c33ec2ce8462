//! TLS for SIP: our certificate from files that may change, carriers' certificates checked as RFC 5922 has it, theirs asked for if wished.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::identity;
use crate::types::{Clock, Moment};

/// How often the files are looked at, at most.
const LOOK: Duration = Duration::from_secs(10);
/// Until both ends have agreed.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// TLS 1.2 and 1.3, nothing older.
const VERSIONS: [&rustls::SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

/// Where TLS is spoken, and where certificates come from.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Files {
    /// Addresses to listen on for TLS; port 0 takes a free one. Carriers are reached by TLS only if there is one of their family.
    pub listen: Vec<SocketAddr>,
    /// Our certificate, then those that signed it.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Who may sign the certificates of carriers we connect to; none means whom the system trusts.
    pub ca: Option<PathBuf>,
    /// Who may sign the certificates of those who connect to us; none asks nobody for one.
    pub client_ca: Option<PathBuf>,
    /// Whether whoever connects must show one.
    pub require_client: bool,
}

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
    /// Something is asked for without what it needs.
    #[error("{0}")]
    Missing(&'static str),
    /// The certificate and the key do not belong together.
    #[error("the certificate and the key cannot be used together: {0}. Name the certificate's own key")]
    Pair(#[from] rustls::Error),
    /// The certificates of signers.
    #[error("the certificates of the signers cannot be used: {0}. Name a PEM file of certificate authorities")]
    Signers(#[from] rustls::client::VerifierBuilderError),
}

/// What changes when a file does.
type Stamp = Vec<Option<(i64, i64, u64, u64)>>;

/// Both sides' settings, as the files are now.
#[derive(Clone)]
struct Current {
    server: Option<Arc<ServerConfig>>,
    client: Arc<ClientConfig>,
}

struct Held {
    current: Current,
    stamp: Stamp,
    looked_at: Moment,
}

/// TLS as the files say. Cheap to clone; every clone sees a change.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    files: Files,
    clock: Clock,
    held: Mutex<Held>,
}

impl Tls {
    /// Reads the files.
    pub fn load(files: &Files, clock: Clock) -> Result<Self, TlsError> {
        let held = Held { stamp: stamp(files), current: read(files)?, looked_at: clock.now() };
        Ok(Self(Arc::new(Inner { files: files.clone(), clock, held: Mutex::new(held) })))
    }

    /// What is in use now. Files that have changed are read again; broken ones leave what there was.
    fn current(&self) -> Current {
        let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.0.clock.now();
        if now.since(held.looked_at) >= LOOK {
            held.looked_at = now;
            let stamp = stamp(&self.0.files);
            if stamp != held.stamp {
                held.stamp = stamp;
                match read(&self.0.files) {
                    Ok(current) => {
                        held.current = current;
                        tracing::info!("new SIP certificates are in use");
                    }
                    Err(error) => tracing::error!(%error, "the new SIP certificates cannot be used; the old ones stay"),
                }
            }
        }
        held.current.clone()
    }

    /// Agrees with somebody who connects: the stream, and the names they have proved.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> std::io::Result<(server::TlsStream<S>, Vec<String>)> {
        let server = self.current().server.ok_or_else(|| std::io::Error::other("there is no certificate to show"))?;
        let stream = within(TlsAcceptor::from(server).accept(stream)).await?;
        let names = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(identity::names).unwrap_or_default();
        Ok((stream, names))
    }

    /// Agrees with a carrier, who must be `domain`, or else have the address itself in its certificate.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        domain: Option<&str>,
        address: IpAddr,
    ) -> std::io::Result<client::TlsStream<S>> {
        let name = match domain {
            Some(domain) => ServerName::try_from(domain.to_owned()).map_err(std::io::Error::other)?,
            None => ServerName::from(address),
        };
        within(TlsConnector::from(self.current().client).connect(name, stream)).await
    }
}

async fn within<T>(handshake: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    tokio::time::timeout(HANDSHAKE, handshake).await.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?
}

fn stamp(files: &Files) -> Stamp {
    let all = [&files.certificate, &files.key, &files.ca, &files.client_ca];
    let look = |path: &Path| std::fs::metadata(path).ok().map(|file| (file.mtime(), file.mtime_nsec(), file.size(), file.ino()));
    all.into_iter().flatten().map(|path| look(path)).collect()
}

fn told(path: &Path, reason: String) -> TlsError {
    TlsError::File { path: path.to_owned(), reason }
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| told(path, format!("{error}. Name a readable PEM file")))?;
    if found.is_empty() { Err(told(path, "no certificate is in it. Name a PEM file with certificates".to_owned())) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let mode = std::fs::metadata(path).map_err(|error| told(path, format!("{error}. Name a readable file")))?.mode();
    if mode & 0o004 != 0 {
        return Err(told(path, "everybody on this machine may read the key. Run chmod o-r on it".to_owned()));
    }
    PrivateKeyDer::from_pem_file(path).map_err(|error| told(path, format!("{error}. Name a PEM file with the private key")))
}

fn signers(path: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match path {
        Some(path) => {
            for certificate in chain(path)? {
                roots.add(certificate).map_err(|error| told(path, format!("{error}. Name a PEM file of certificate authorities")))?;
            }
        }
        // Without any, every carrier's certificate is refused when it comes to that.
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    Ok(roots)
}

fn read(files: &Files) -> Result<Current, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let own = match (&files.certificate, &files.key) {
        (Some(certificate), Some(key)) => Some((chain(certificate)?, private_key(key)?)),
        (None, None) => None,
        _ => return Err(TlsError::Missing("name both sip.tls.certificate and sip.tls.key, or neither")),
    };
    if !files.listen.is_empty() && own.is_none() {
        return Err(TlsError::Missing("sip.tls.listen needs a certificate: name sip.tls.certificate and sip.tls.key"));
    }
    if files.require_client && files.client_ca.is_none() {
        return Err(TlsError::Missing(
            "sip.tls.require_client needs sip.tls.client_ca: who may sign the certificates of those who connect",
        ));
    }
    let server = match &own {
        None => None,
        Some((chain, key)) => {
            let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&VERSIONS)?;
            let builder = match &files.client_ca {
                None => builder.with_no_client_auth(),
                Some(path) => {
                    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(signers(Some(path))?), provider.clone());
                    let verifier = if files.require_client { verifier } else { verifier.allow_unauthenticated() };
                    builder.with_client_cert_verifier(verifier.build()?)
                }
            };
            Some(Arc::new(builder.with_single_cert(chain.clone(), key.clone_key())?))
        }
    };
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&VERSIONS)?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Domains::new(signers(files.ca.as_deref())?, provider)?));
    let client = match own {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    Ok(Current { server, client: Arc::new(client) })
}

/// Checks a carrier's certificate: signed by whom we trust, and of the domain, as RFC 5922 reads names.
#[derive(Debug)]
struct Domains {
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
    /// For signatures; none if nobody is trusted.
    usual: Option<Arc<WebPkiServerVerifier>>,
}

impl Domains {
    fn new(roots: RootCertStore, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let usual = if roots.is_empty() {
            None
        } else {
            Some(WebPkiServerVerifier::builder_with_provider(Arc::new(roots.clone()), provider.clone()).build()?)
        };
        Ok(Self { roots, provider, usual })
    }

    fn usual(&self) -> Result<&WebPkiServerVerifier, rustls::Error> {
        self.usual.as_deref().ok_or(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))
    }
}

impl ServerCertVerifier for Domains {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)?;
        if identity::is_of(end_entity, server_name) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::NotValidForName.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual()?.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual()?.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
