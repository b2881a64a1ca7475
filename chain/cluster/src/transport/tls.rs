//! Who is at the other end: TLS 1.3 between nodes, each proving that it holds the key its name is made of.
//!
//! A node id is the hash of a public key, so the id alone pins the key: there is no certificate, no authority and
//! nothing to renew. Both ends present raw public keys (RFC 7250). Who dials accepts the one node it dialled; who
//! listens accepts the nodes that it knows. Sessions are never resumed, so every connection is checked against
//! what is known at the time.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible,
    ServerConfig, SignatureAlgorithm, SignatureScheme,
};
use tensor_chain::{Identity, NodeId, PublicIdentity};

use super::known_nodes::KnownNodes;

/// The protocol and its version: ends that speak different ones part during the handshake.
const PROTOCOL: &[u8] = b"tensorchain-peer/1";

/// What DER puts before the 32 bytes of an Ed25519 key to say what they are (RFC 8410).
const KEY_INFO: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// How this node accepts connections: from the nodes that are known at that moment.
pub(super) fn server_config(identity: &Arc<Identity>, known: KnownNodes) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(PinnedKey::new(&provider, Expected::Known(known)));
    let resolver = AlwaysResolvesServerRawPublicKeys::new(certified(identity));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// How this node dials `target`.
pub(super) fn client_config(identity: &Arc<Identity>, target: NodeId) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(PinnedKey::new(&provider, Expected::Exactly(target)));
    let resolver = AlwaysResolvesClientRawPublicKeys::new(certified(identity));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous() // the library's word for a verifier of one's own
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.enable_sni = false;
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Name that a dialer must give and nobody looks at.
pub(super) fn server_name() -> ServerName<'static> {
    ServerName::IpAddress(IpAddr::from(Ipv4Addr::LOCALHOST).into())
}

/// The node that presented these keys during the handshake.
pub(super) fn peer_of(presented: Option<&[CertificateDer<'_>]>) -> Result<NodeId, Error> {
    let key = presented.and_then(<[_]>::first).ok_or(Error::NoCertificatesPresented)?;
    node_of(key)
}

fn node_of(key_info: &CertificateDer<'_>) -> Result<NodeId, Error> {
    let key = key_info.strip_prefix(&KEY_INFO).and_then(|key| key.try_into().ok());
    let public = key.and_then(|key: &[u8; 32]| PublicIdentity::from_bytes(key).ok());
    public.map(|public| public.node_id()).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
}

fn certified(identity: &Arc<Identity>) -> Arc<CertifiedKey> {
    let key_info = [&KEY_INFO[..], &identity.public_key_bytes()].concat();
    Arc::new(CertifiedKey::new(vec![key_info.into()], Arc::new(HandshakeKey(Arc::clone(identity)))))
}

/// The identity as the handshake sees it; the secret stays where it is.
#[derive(Debug, Clone)]
struct HandshakeKey(Arc<Identity>);

impl SigningKey for HandshakeKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::ED25519).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for HandshakeKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let refused = || Error::General("not the message of a handshake".to_owned());
        self.0.sign_handshake(message).map(Vec::from).ok_or_else(refused)
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// Accepts the keys of the nodes that are expected, and no other.
#[derive(Debug)]
struct PinnedKey {
    expected: Expected,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
enum Expected {
    Exactly(NodeId),
    Known(KnownNodes),
}

impl PinnedKey {
    fn new(provider: &CryptoProvider, expected: Expected) -> Self {
        Self { expected, algorithms: provider.signature_verification_algorithms }
    }

    fn check(&self, key_info: &CertificateDer<'_>) -> Result<(), Error> {
        let node = node_of(key_info)?;
        let welcome = match &self.expected {
            Expected::Exactly(target) => node == *target,
            Expected::Known(known) => known.admit(node),
        };
        let refused = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        if welcome { Ok(()) } else { Err(refused) }
    }

    fn check_signature(
        &self,
        message: &[u8],
        key_info: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(key_info.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }
}

/// What a signature of an older TLS is answered with; only 1.3 is offered, so none comes.
const NO_TLS_1_2: PeerIncompatible = PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig;

impl ServerCertVerifier for PinnedKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(NO_TLS_1_2.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for PinnedKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(NO_TLS_1_2.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    fn identity(number: u8) -> Arc<Identity> {
        Arc::new(Identity::from_bytes(&[number; 32]))
    }

    /// Whom each end takes the other for, if they come to terms.
    async fn shake_hands(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Option<(NodeId, NodeId)> {
        let (near, far) = tokio::io::duplex(1 << 14);
        let (client, server) = tokio::join!(
            TlsConnector::from(client).connect(server_name(), near),
            TlsAcceptor::from(server).accept(far),
        );
        let (client, server) = (client.ok()?, server.ok()?);
        let of_server = peer_of(client.get_ref().1.peer_certificates()).unwrap();
        Some((of_server, peer_of(server.get_ref().1.peer_certificates()).unwrap()))
    }

    /// What `thief` shows who presents the key of `owner`, which is no secret.
    fn stolen(owner: &Identity, thief: &Arc<Identity>) -> Arc<CertifiedKey> {
        let key_info = [&KEY_INFO[..], &owner.public_key_bytes()].concat();
        Arc::new(CertifiedKey::new(vec![key_info.into()], Arc::new(HandshakeKey(Arc::clone(thief)))))
    }

    #[tokio::test]
    async fn each_end_learns_who_the_other_is() {
        let [a, b, c] = [1, 2, 3].map(identity);
        let known = || KnownNodes::new([a.node_id()]);
        let server = server_config(&b, known()).unwrap();
        let client = |identity, target: &Identity| client_config(identity, target.node_id()).unwrap();
        let met = shake_hands(client(&a, &b), Arc::clone(&server)).await;
        assert_eq!(met, Some((b.node_id(), a.node_id())));
        assert_eq!(shake_hands(client(&a, &c), Arc::clone(&server)).await, None, "another was dialled");
        assert_eq!(shake_hands(client(&c, &b), server).await, None, "not known");
    }

    #[tokio::test]
    async fn a_public_key_alone_proves_nothing() {
        let [a, b, thief] = [1, 2, 3].map(identity);
        let sound_client = client_config(&a, b.node_id()).unwrap();
        let sound_server = server_config(&b, KnownNodes::new([a.node_id()])).unwrap();

        let mut client = (*sound_client).clone();
        let resolver = AlwaysResolvesClientRawPublicKeys::new(stolen(&a, &thief));
        client.client_auth_cert_resolver = Arc::new(resolver);
        assert_eq!(shake_hands(Arc::new(client), Arc::clone(&sound_server)).await, None);

        let mut server = (*sound_server).clone();
        server.cert_resolver = Arc::new(AlwaysResolvesServerRawPublicKeys::new(stolen(&b, &thief)));
        assert_eq!(shake_hands(Arc::clone(&sound_client), Arc::new(server)).await, None);
        assert!(shake_hands(sound_client, sound_server).await.is_some());
    }

    #[test]
    fn what_is_no_key_is_nobody() {
        let key_info = [&KEY_INFO[..], &identity(1).public_key_bytes()].concat();
        assert_eq!(node_of(&key_info.clone().into()), Ok(identity(1).node_id()));
        for len in 0..key_info.len() {
            assert!(node_of(&key_info[..len].to_vec().into()).is_err());
        }
        assert!(node_of(&[&key_info[..], &[0]].concat().into()).is_err());
        assert!(peer_of(None).is_err());
    }
}
