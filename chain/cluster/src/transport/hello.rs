//! The first words on a connection: which cluster, from whom, to whom, and for what.
//!
//! TLS has proved by now who both ends are. The hello says what each takes the other for, so that a node that was
//! dialled by mistake (an old address, another cluster on the same machines) says so instead of answering.
//! Question and answer have fixed lengths: nothing in them can be too long.

use tensor_chain::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use tensor_chain::{ChainId, NodeId};

use crate::link::Channel;

pub(super) const HELLO_BYTES: usize = 97;

/// What the dialler says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) cluster: ChainId,
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    pub(super) channel: Channel,
}

/// What the listener answers: one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Welcome,
    Refused(Refusal),
}

/// Why a node refused a connection although both ends proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// It belongs to another cluster.
    #[error("it belongs to another cluster")]
    Cluster,
    /// It is not the node that was meant.
    #[error("it is not the node that was meant")]
    Addressee,
    /// The caller's key is not that of the node it said it was.
    #[error("the key presented is not that of the sender named")]
    Sender,
}

impl Hello {
    /// What `listener` of `cluster` answers to this hello, from a peer that has proved to be `peer`.
    pub(super) fn judge(&self, cluster: ChainId, listener: NodeId, peer: NodeId) -> Answer {
        if self.cluster != cluster {
            Answer::Refused(Refusal::Cluster)
        } else if self.to != listener {
            Answer::Refused(Refusal::Addressee)
        } else if self.from != peer {
            Answer::Refused(Refusal::Sender)
        } else {
            Answer::Welcome
        }
    }
}

impl Encode for Hello {
    fn encode(&self, writer: &mut Writer) {
        self.cluster.encode(writer);
        self.from.encode(writer);
        self.to.encode(writer);
        writer.u8(match self.channel {
            Channel::Urgent => 0,
            Channel::Bulk => 1,
        });
    }
}

impl Decode for Hello {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (cluster, from, to) =
            (ChainId::decode(reader)?, NodeId::decode(reader)?, NodeId::decode(reader)?);
        let channel = match reader.u8()? {
            0 => Channel::Urgent,
            1 => Channel::Bulk,
            got => return Err(DecodeError::UnknownTag { what: "channel", got }),
        };
        Ok(Self { cluster, from, to, channel })
    }
}

impl Answer {
    pub(super) const fn to_byte(self) -> u8 {
        match self {
            Self::Welcome => 0,
            Self::Refused(Refusal::Cluster) => 1,
            Self::Refused(Refusal::Addressee) => 2,
            Self::Refused(Refusal::Sender) => 3,
        }
    }

    pub(super) const fn from_byte(byte: u8) -> Result<Self, DecodeError> {
        match byte {
            0 => Ok(Self::Welcome),
            1 => Ok(Self::Refused(Refusal::Cluster)),
            2 => Ok(Self::Refused(Refusal::Addressee)),
            3 => Ok(Self::Refused(Refusal::Sender)),
            got => Err(DecodeError::UnknownTag { what: "answer to a hello", got }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLUSTER: ChainId = ChainId([1; 32]);
    const A: NodeId = NodeId([2; 32]);
    const B: NodeId = NodeId([3; 32]);
    const HELLO: Hello = Hello { cluster: CLUSTER, from: A, to: B, channel: Channel::Bulk };

    #[test]
    fn a_hello_must_name_cluster_addressee_and_sender() {
        assert_eq!(HELLO.judge(CLUSTER, B, A), Answer::Welcome);
        assert_eq!(HELLO.judge(ChainId([9; 32]), B, A), Answer::Refused(Refusal::Cluster));
        assert_eq!(HELLO.judge(CLUSTER, A, A), Answer::Refused(Refusal::Addressee));
        assert_eq!(HELLO.judge(CLUSTER, B, B), Answer::Refused(Refusal::Sender));
    }

    #[test]
    fn answers_come_back_and_others_are_refused() {
        for byte in 0..=u8::MAX {
            match Answer::from_byte(byte) {
                Ok(answer) => assert_eq!(answer.to_byte(), byte),
                Err(_) => assert!(byte > 3),
            }
        }
    }

    proptest! {
        #[test]
        fn a_hello_has_one_form(bytes in proptest::collection::vec(any::<u8>(), HELLO_BYTES), channel in 0..3_u8) {
            let mut bytes = bytes;
            bytes[HELLO_BYTES - 1] = channel;
            match Hello::from_bytes(&bytes) {
                Ok(hello) => prop_assert_eq!(hello.to_bytes(), bytes),
                Err(error) => prop_assert_eq!(error, DecodeError::UnknownTag { what: "channel", got: channel }),
            }
        }
    }
}
