//! Addresses, limits and deadlines of the HTTP API. Every limit has a default that holds against careless and
//! malicious clients alike.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tensor_kernels::{Isa, Kernels};

use super::evaluator::HealthLimits;

/// How the HTTP API listens.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Where to listen. Must be a loopback address: the API has neither TLS nor client authentication.
    /// Default 127.0.0.1:8080.
    pub listen: SocketAddr,
    /// What the chain behind it computes with, for status and metrics. Without it: the best instruction set there is.
    pub kernels: Option<Kernels>,
    /// What makes a node healthy.
    pub health: HealthLimits,
    /// Token of the admin requests; without one they are refused.
    pub admin_token: Option<Token>,
    /// Most connections at a time; more are answered with 503 and closed. Default 2,048.
    pub max_connections: usize,
    /// How long a connection may take to send the header of a request, counted from when it could begin: so this is
    /// also how long a connection may be idle. Default 30 s.
    pub header_deadline: Duration,
    /// How long the body of a request may take to arrive. Default 30 s.
    pub body_deadline: Duration,
    /// How long a client may go without taking any byte of an answer that waits for it. Default 30 s.
    pub write_deadline: Duration,
    /// How long requests may go on when the server is told to stop. Default 10 s.
    pub shutdown_deadline: Duration,
    /// Most bytes of the headers of one request. Default 32 KiB.
    pub max_header_bytes: usize,
    /// Most bytes of bodies that are on their way in, of all connections together. Default 64 MiB.
    pub max_incoming_bytes: usize,
    /// Most look-ups at a time; more wait for their turn. Default 64.
    pub max_lookups: usize,
    /// Most searches of the whole chain at a time; more are answered with 429. Default 2.
    pub max_searches: usize,
}

impl Default for HttpConfig {
    fn default() -> Self {
        let deadline = Duration::from_secs(30);
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            kernels: None,
            health: HealthLimits::default(),
            admin_token: None,
            max_connections: 2_048,
            header_deadline: deadline,
            body_deadline: deadline,
            write_deadline: deadline,
            shutdown_deadline: Duration::from_secs(10),
            max_header_bytes: 32 << 10,
            max_incoming_bytes: 64 << 20,
            max_lookups: 64,
            max_searches: 2,
        }
    }
}

impl HttpConfig {
    /// The instruction set that computes.
    pub(super) fn isa(&self) -> Isa {
        self.kernels.as_ref().map_or_else(Isa::best, Kernels::isa)
    }

    /// The device beside the CPU that is asked first, or the CPU.
    pub(super) fn device(&self) -> String {
        let device = self.kernels.as_ref().and_then(Kernels::accelerator);
        device.map_or_else(|| "cpu".to_owned(), |device| device.name())
    }
}

/// A secret that requests must show. Never printed.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A token; `None` for fewer than 16 bytes, which could be guessed.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Option<Self> {
        Some(secret.into()).filter(|secret| secret.len() >= 16).map(Self)
    }

    /// The secret, to be shown to a node.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether the two are equal, in a time that does not tell how far they agree.
    #[must_use]
    pub fn is(&self, shown: &str) -> bool {
        let (mine, other) = (self.0.as_bytes(), shown.as_bytes());
        mine.len() == other.len() && mine.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_compared_whole_and_never_shown() {
        assert!(Token::new("too short").is_none());
        let token = Token::new("0123456789abcdef").unwrap();
        assert!(token.is("0123456789abcdef"));
        for wrong in ["", "0123456789abcdeg", "0123456789abcde", "0123456789abcdef0"] {
            assert!(!token.is(wrong), "{wrong}");
        }
        assert_eq!(format!("{token:?}"), "Token(…)");
    }
}
