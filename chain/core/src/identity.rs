//! Who signs: Ed25519 keys, and the node ids that follow from them.
//!
//! What is signed always starts with a [`Domain`]; verification is strict, so that a signature has one form and
//! weak keys are refused. The secret half never leaves this module except into its file.

use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::atomic_io::{AtomicIoError, AtomicWriter};
use crate::hash::Domain;
use crate::ids::NodeId;

const NODE_ID: Domain = Domain::new("node-id");

/// What everything that an endpoint of TLS 1.3 signs begins with (RFC 8446, 4.4.3).
const HANDSHAKE_PREFIX: [u8; 64] = [b' '; 64];

/// Secret key, then public key: each vouches for the other when the file is read.
const FILE_BYTES: usize = 64;

/// A key pair. The secret half is wiped from memory when this is dropped.
pub struct Identity {
    key: SigningKey,
}

/// The public half of an [`Identity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicIdentity {
    key: VerifyingKey,
}

/// What can go wrong with keys and signatures.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The system gave no random bytes.
    #[error("no random bytes for a key: {0}")]
    Random(getrandom::Error),
    /// Bytes that are no public key.
    #[error("not an Ed25519 public key")]
    PublicKey,
    /// A signature that is not of this key and message.
    #[error("the signature is not of this key and message")]
    Signature,
    /// A key file that does not hold a key pair.
    #[error("{} does not hold a key pair", file.display())]
    CorruptFile {
        /// The file.
        file: PathBuf,
    },
    /// A key file that others than its owner may read or write.
    #[error("{} has mode {mode:03o}: expected 600", file.display())]
    FileMode {
        /// The file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A key file that could not be read or written.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What went wrong.
        source: AtomicIoError,
    },
}

impl Identity {
    /// A new key pair.
    ///
    /// # Errors
    /// No random bytes.
    pub fn generate() -> Result<Self, IdentityError> {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(secret.as_mut()).map_err(IdentityError::Random)?;
        Ok(Self::from_bytes(&secret))
    }

    /// The key pair of a secret key. Every 32 bytes are one.
    #[must_use]
    pub fn from_bytes(secret: &[u8; 32]) -> Self {
        Self { key: SigningKey::from_bytes(secret) }
    }

    /// The key pair in a file; where there is none a new one is made and kept there, for its owner's eyes only.
    ///
    /// # Errors
    /// A file that others may read or that holds no key pair; a failure of the medium; no random bytes.
    pub fn load_or_create(path: impl AsRef<Path>) -> Result<Self, IdentityError> {
        let path = path.as_ref();
        match fs::File::open(path) {
            Ok(file) => Self::load(file, path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path),
            Err(error) => Err(io_error(path)(error.into())),
        }
    }

    fn load(file: fs::File, path: &Path) -> Result<Self, IdentityError> {
        let fail = |error: io::Error| io_error(path)(error.into());
        let mode = file.metadata().map_err(fail)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(IdentityError::FileMode { file: path.to_owned(), mode });
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES + 1));
        file.take(FILE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(fail)?;
        let corrupt = || IdentityError::CorruptFile { file: path.to_owned() };
        let pair = bytes.as_slice().try_into().map_err(|_| corrupt())?;
        let key = SigningKey::from_keypair_bytes(pair).map_err(|_| corrupt())?;
        Ok(Self { key })
    }

    fn create(path: &Path) -> Result<Self, IdentityError> {
        let identity = Self::generate()?;
        let pair = Zeroizing::new(identity.key.to_keypair_bytes());
        let write = || {
            let mut writer = AtomicWriter::private(path)?;
            writer.write_all(pair.as_slice())?;
            writer.commit()
        };
        write().map_err(io_error(path))?;
        Ok(identity)
    }

    /// The node id: SHA-256(tag ‖ public key).
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.public().node_id()
    }

    /// The public key.
    #[must_use]
    pub fn public_key_bytes(&self) -> [u8; 32] {
        self.public().to_bytes()
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicIdentity {
        PublicIdentity { key: self.key.verifying_key() }
    }

    /// Signature over the domain's tag and the message.
    #[must_use]
    pub fn sign(&self, domain: Domain, message: &[u8]) -> [u8; 64] {
        self.key.sign(&domain.message(message)).to_bytes()
    }

    /// Signature over what an endpoint of TLS 1.3 signs, or nothing for any other message.
    ///
    /// Such a message begins with 64 spaces, which are to TLS what a [`Domain`] is here: no tag begins with a
    /// space, so a signature made for a handshake can stand for nothing else.
    #[must_use]
    pub fn sign_handshake(&self, message: &[u8]) -> Option<[u8; 64]> {
        message.starts_with(&HANDSHAKE_PREFIX).then(|| self.key.sign(message).to_bytes())
    }
}

fn io_error(path: &Path) -> impl Fn(AtomicIoError) -> IdentityError {
    move |source| IdentityError::Io { file: path.to_owned(), source }
}

/// Shows the node id, never the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.node_id())
    }
}

impl PublicIdentity {
    /// The identity of a public key.
    ///
    /// # Errors
    /// Bytes that are no public key.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, IdentityError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| IdentityError::PublicKey)?;
        Ok(Self { key })
    }

    /// The public key.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// The node id: SHA-256(tag ‖ public key).
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        NodeId(NODE_ID.hash(&[self.key.as_bytes()]))
    }

    /// Checks a signature over the domain's tag and the message.
    ///
    /// # Errors
    /// A signature of another key, domain or message, or not of the one canonical form.
    pub fn verify(&self, domain: Domain, message: &[u8], signature: &[u8; 64]) -> Result<(), IdentityError> {
        let signature = Signature::from_bytes(signature);
        let verdict = self.key.verify_strict(&domain.message(message), &signature);
        verdict.map_err(|_| IdentityError::Signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOMAIN: Domain = Domain::new("test");

    #[test]
    fn a_signature_is_of_one_key_domain_and_message() {
        let identity = Identity::from_bytes(&[1; 32]);
        let public = PublicIdentity::from_bytes(&identity.public_key_bytes()).unwrap();
        let signature = identity.sign(DOMAIN, b"message");
        public.verify(DOMAIN, b"message", &signature).unwrap();
        assert!(public.verify(DOMAIN, b"massage", &signature).is_err());
        assert!(public.verify(Domain::new("other"), b"message", &signature).is_err());
        let stranger = Identity::from_bytes(&[2; 32]).public();
        assert!(stranger.verify(DOMAIN, b"message", &signature).is_err());
        for bit in 0..512 {
            let mut flipped = signature;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(public.verify(DOMAIN, b"message", &flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_signature_has_one_form() {
        let identity = Identity::from_bytes(&[1; 32]);
        let signature = identity.sign(DOMAIN, b"message");
        // s + the order of the group satisfies the same equation.
        let order = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10_u16,
        ];
        let (mut malleated, mut carry) = (signature, 0);
        for (byte, order) in malleated[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + order + carry;
            *byte = sum as u8;
            carry = sum >> 8;
        }
        assert!(identity.public().verify(DOMAIN, b"message", &malleated).is_err());
        // The neutral element is a key for which R = 0, s = 0 satisfies the equation for every message.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let weak = PublicIdentity::from_bytes(&neutral).unwrap();
        let mut forged = [0; 64];
        forged[0] = 1;
        assert!(weak.verify(DOMAIN, b"anything", &forged).is_err());
    }

    #[test]
    fn without_a_tag_only_handshakes_are_signed() {
        let identity = Identity::from_bytes(&[1; 32]);
        let handshake = [&[b' '; 64], "TLS 1.3, server CertificateVerify\0".as_bytes()].concat();
        let signature = Signature::from_bytes(&identity.sign_handshake(&handshake).unwrap());
        identity.key.verifying_key().verify_strict(&handshake, &signature).unwrap();
        assert_eq!(identity.sign_handshake(&handshake[1..]), None);
        assert_eq!(identity.sign_handshake(&DOMAIN.message(b"message")), None);
    }

    #[test]
    fn the_node_id_is_the_tagged_hash_of_the_public_key() {
        let identity = Identity::from_bytes(&[1; 32]);
        let public = identity.public_key_bytes();
        let expected = crate::hash::sha256(&[b"tensor-chain/v1/node-id\0", &public]);
        assert_eq!(identity.node_id(), NodeId(expected));
        assert_eq!(format!("{identity:?}"), format!("Identity({})", NodeId(expected)));
        assert_ne!(Identity::generate().unwrap().node_id(), Identity::generate().unwrap().node_id());
    }

    #[test]
    fn a_key_is_made_once_and_kept_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity.key");
        let made = Identity::load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Identity::load_or_create(&path).unwrap().node_id(), made.node_id());

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = Identity::load_or_create(&path);
        assert!(matches!(refused, Err(IdentityError::FileMode { mode: 0o640, .. })));
    }

    #[test]
    fn a_damaged_key_file_is_refused_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity.key");
        Identity::load_or_create(&path).unwrap();
        let sound = fs::read(&path).unwrap();
        let refused = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let error = Identity::load_or_create(&path).unwrap_err();
            assert!(matches!(error, IdentityError::CorruptFile { .. }), "{error}");
            assert_eq!(fs::read(&path).unwrap(), bytes);
        };
        for position in 0..sound.len() {
            let mut flipped = sound.clone();
            flipped[position] ^= 1 << (position % 8);
            refused(&flipped);
        }
        [0, 32, 63].iter().for_each(|&len| refused(&sound[..len]));
        refused(&[&sound[..], &[0]].concat());
    }
}
