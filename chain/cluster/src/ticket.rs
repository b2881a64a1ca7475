//! What an operator hands to a new node so that it can join: one line of text.
//!
//! It names the cluster and its nodes, whose ids pin their keys, and holds a secret that whoever issued it accepts
//! once and for a time. Letters and digits only, so that it survives being copied; a checksum finds what did not.

use std::fmt;

use tensor_chain::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use tensor_chain::hash::Domain;
use tensor_chain::{ChainId, NodeId};

use crate::api::{MAX_ADDRESS_BYTES, Peer};

const PREFIX: &str = "tensorchain1";
/// Lower-case letters and digits without those that look like others (RFC 4648).
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const CHECKSUM: Domain = Domain::new("join-ticket");
const CHECKSUM_BYTES: usize = 8;

/// Nodes that a ticket may name: any one of them is enough to join.
pub const MAX_TICKET_PEERS: usize = 16;
/// The longest ticket in bytes: peers, and less than 100 for all else.
const MAX_BODY_BYTES: usize = MAX_TICKET_PEERS * (32 + 2 * (2 + MAX_ADDRESS_BYTES)) + 100;
const MAX_TEXT_BYTES: usize = PREFIX.len() + MAX_BODY_BYTES * 8 / 5 + 1;

/// Admits one node to a cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The cluster.
    pub cluster: ChainId,
    /// Nodes to ask, at most [`MAX_TICKET_PEERS`].
    pub peers: Vec<Peer>,
    /// Known to those who issued the ticket, who accept it from the first node that shows it.
    pub secret: [u8; 16],
    /// When they cease to accept it, in seconds since 1970.
    pub expires_unix_s: u64,
}

/// Text that is no ticket, or a ticket that has no text.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TicketError {
    /// The text does not begin as tickets do.
    #[error("a ticket begins with {PREFIX}")]
    Prefix,
    /// No ticket is so long.
    #[error("a text of {got} bytes: a ticket has at most {MAX_TEXT_BYTES}")]
    TooLong {
        /// Length of the text in bytes.
        got: usize,
    },
    /// A character that tickets do not use.
    #[error("a character that tickets do not have, at position {position}")]
    Character {
        /// Where, in bytes.
        position: usize,
    },
    /// Something was lost or altered on the way.
    #[error("the ticket is incomplete or altered")]
    Checksum,
    /// What it says makes no sense.
    #[error("ticket: {0}")]
    Malformed(#[from] DecodeError),
    /// Too many peers, none, or an address that is empty or too long.
    #[error("a ticket names 1 to {MAX_TICKET_PEERS} nodes, with addresses of 1 to {MAX_ADDRESS_BYTES} bytes")]
    Peers,
    /// The system gave no random bytes.
    #[error("no random bytes for a secret: {0}")]
    Random(getrandom::Error),
}

impl Ticket {
    /// A ticket with a new secret.
    ///
    /// # Errors
    /// Peers that no ticket can name; no random bytes.
    pub fn issue(cluster: ChainId, peers: Vec<Peer>, expires_unix_s: u64) -> Result<Self, TicketError> {
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).map_err(TicketError::Random)?;
        let ticket = Self { cluster, peers, secret, expires_unix_s };
        ticket.check().map(|()| ticket)
    }

    /// The ticket as text. Whoever reads it can join: it is a secret.
    ///
    /// # Errors
    /// Peers that no ticket can name.
    pub fn encode(&self) -> Result<String, TicketError> {
        self.check()?;
        let mut bytes = self.to_bytes();
        let checksum = CHECKSUM.hash(&[&bytes]);
        bytes.extend(checksum.iter().take(CHECKSUM_BYTES));
        Ok(PREFIX.chars().chain(to_base32(&bytes)).collect())
    }

    /// Reads a ticket; spaces around it do not matter.
    ///
    /// # Errors
    /// Anything that [`encode`](Self::encode) would not have written.
    pub fn decode(text: &str) -> Result<Self, TicketError> {
        let text = text.trim();
        if text.len() > MAX_TEXT_BYTES {
            return Err(TicketError::TooLong { got: text.len() });
        }
        let letters = text.strip_prefix(PREFIX).ok_or(TicketError::Prefix)?;
        let bytes = from_base32(letters)
            .map_err(|position| TicketError::Character { position: position + PREFIX.len() })?
            .ok_or(TicketError::Checksum)?;
        let (body, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(TicketError::Checksum)?;
        if !CHECKSUM.hash(&[body]).starts_with(checksum) {
            return Err(TicketError::Checksum);
        }
        let ticket = Self::from_bytes(body)?;
        ticket.check().map(|()| ticket)
    }

    fn check(&self) -> Result<(), TicketError> {
        let number = (1..=MAX_TICKET_PEERS).contains(&self.peers.len());
        if number && self.peers.iter().all(Peer::has_sound_addresses) {
            Ok(())
        } else {
            Err(TicketError::Peers)
        }
    }
}

/// Shows everything but the secret.
impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("cluster", &self.cluster)
            .field("peers", &self.peers)
            .field("expires_unix_s", &self.expires_unix_s)
            .finish_non_exhaustive()
    }
}

impl Encode for Ticket {
    fn encode(&self, writer: &mut Writer) {
        self.cluster.encode(writer);
        writer.varint(self.peers.len() as u64);
        for peer in &self.peers {
            peer.node.encode(writer);
            writer.str(&peer.peer_address);
            writer.str(&peer.http_address);
        }
        writer.raw(&self.secret);
        writer.u64(self.expires_unix_s);
    }
}

impl Decode for Ticket {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let cluster = ChainId::decode(reader)?;
        let peers = (0..reader.count(32 + 2)?).map(|_| {
            Ok(Peer {
                node: NodeId::decode(reader)?,
                peer_address: reader.str()?.to_owned(),
                http_address: reader.str()?.to_owned(),
            })
        });
        let peers = peers.collect::<Result<_, DecodeError>>()?;
        Ok(Self { cluster, peers, secret: reader.array()?, expires_unix_s: reader.u64()? })
    }
}

/// Five bits a letter, highest first; the last letter is filled with zeros.
fn to_base32(bytes: &[u8]) -> impl Iterator<Item = char> {
    bytes.chunks(5).flat_map(|chunk| {
        let bits = (0..5).fold(0_u64, |bits, i| bits << 8 | u64::from(chunk.get(i).copied().unwrap_or(0)));
        let letters = (chunk.len() * 8).div_ceil(5);
        (0..letters).map(move |i| char::from(ALPHABET[(bits >> (35 - 5 * i) & 31) as usize]))
    })
}

/// The bytes; nothing where letters are missing or the filling is not zero.
///
/// # Errors
/// Position of a character that is no letter.
fn from_base32(letters: &str) -> Result<Option<Vec<u8>>, usize> {
    let (mut bytes, mut bits, mut held) = (Vec::with_capacity(letters.len() * 5 / 8), 0_u32, 0);
    for (position, letter) in letters.bytes().enumerate() {
        let value = ALPHABET.iter().position(|&known| known == letter).ok_or(position)?;
        bits = bits << 5 | value as u32; // below 32
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Ok((bits == 0 && held < 5).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn tickets() -> impl Strategy<Value = Ticket> {
        let peer = (any::<[u8; 32]>(), "[a-z.]{1,260}", "[a-z0-9:]{1,260}")
            .prop_map(|(id, peer, http)| Peer { node: NodeId(id), peer_address: peer, http_address: http });
        (any::<[u8; 32]>(), vec(peer, 1..=MAX_TICKET_PEERS), any::<[u8; 16]>(), any::<u64>()).prop_map(
            |(cluster, peers, secret, expires_unix_s)| Ticket {
                cluster: ChainId(cluster),
                peers,
                secret,
                expires_unix_s,
            },
        )
    }

    fn ticket() -> Ticket {
        let peer = Peer {
            node: NodeId([7; 32]),
            peer_address: "10.0.0.1:7000".to_owned(),
            http_address: "10.0.0.1:8000".to_owned(),
        };
        Ticket { cluster: ChainId([1; 32]), peers: vec![peer], secret: [0xa5; 16], expires_unix_s: 1 << 31 }
    }

    proptest! {
        #[test]
        fn a_ticket_comes_back_and_has_one_text(ticket in tickets()) {
            let text = ticket.encode().unwrap();
            prop_assert!(text.len() <= MAX_TEXT_BYTES);
            prop_assert_eq!(Ticket::decode(&format!(" {text}\n")).unwrap(), ticket);
        }

        #[test]
        fn what_was_altered_or_cut_is_refused(at: prop::sample::Index, letter in "[ -~]") {
            let sound = ticket().encode().unwrap();
            let at = at.index(sound.len());
            let altered = format!("{}{letter}{}", &sound[..at], &sound[at + 1..]);
            prop_assert_eq!(Ticket::decode(&altered).is_ok(), altered.trim() == sound);
            prop_assert!(Ticket::decode(&sound[..at]).is_err());
            let longer = format!("{}{letter}{}", &sound[..at], &sound[at..]);
            prop_assert_eq!(Ticket::decode(&longer).is_ok(), longer.trim() == sound);
        }

        #[test]
        fn made_up_text_is_refused(text in ".{0,400}", letters in "[a-z2-7]{0,400}") {
            prop_assert!(Ticket::decode(&text).is_err());
            let letters = format!("{PREFIX}{letters}");
            prop_assert!(Ticket::decode(&letters).is_err());
        }

        #[test]
        fn made_up_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
            if let Ok(ticket) = Ticket::from_bytes(&bytes) {
                prop_assert_eq!(ticket.to_bytes(), bytes);
            }
        }
    }

    #[test]
    fn peers_are_named_within_bounds() {
        let with = |peers| Ticket { peers, ..ticket() }.encode();
        let peer = &ticket().peers[0];
        let long = "x".repeat(MAX_ADDRESS_BYTES + 1);
        for address in ["", &long] {
            let bad = Peer { http_address: address.to_owned(), ..peer.clone() };
            assert_eq!(with(vec![bad]), Err(TicketError::Peers));
        }
        assert_eq!(with(vec![]), Err(TicketError::Peers));
        assert_eq!(with(vec![peer.clone(); MAX_TICKET_PEERS + 1]), Err(TicketError::Peers));
        let long = "a".repeat(1 << 20);
        assert_eq!(Ticket::decode(&long), Err(TicketError::TooLong { got: 1 << 20 }));
    }

    #[test]
    fn the_secret_is_new_each_time_and_not_shown() {
        let issue = || Ticket::issue(ChainId([1; 32]), ticket().peers, 5).unwrap();
        assert_ne!(issue().secret, issue().secret);
        assert!(!format!("{:?}", ticket()).contains("165"));
    }
}
