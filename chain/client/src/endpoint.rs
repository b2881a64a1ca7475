//! Where a node listens, and the addresses of requests.

use std::fmt::{self, Write};
use std::str::FromStr;

use hyper::Uri;
use hyper::http::uri::{Authority, Scheme};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::ClientError;

/// A node's address, `http://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(Authority);

impl Endpoint {
    /// The endpoint at `host:port`, as nodes name their leader.
    pub(crate) fn of_authority(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    /// The address of a request. `target` is made of paths of ours and encoded keys, so it always parses.
    pub(crate) fn uri(&self, target: &str) -> Result<Uri, hyper::http::Error> {
        Uri::builder().scheme(Scheme::HTTP).authority(self.0.clone()).path_and_query(target).build()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

impl FromStr for Endpoint {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, ClientError> {
        let bad = || ClientError::BadEndpoint { endpoint: text.to_owned() };
        let parts = text.parse::<Uri>().map_err(|_| bad())?.into_parts();
        let bare = parts.path_and_query.is_none_or(|target| target == "/");
        match (parts.scheme, parts.authority) {
            (Some(scheme), Some(authority)) if scheme == Scheme::HTTP && bare => Ok(Self(authority)),
            _ => Err(bad()),
        }
    }
}

/// What may stand in a part of an address as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A part of an address: a key as it has to be written there. A key of dots only is encoded whole, because proxies
/// and libraries take `.` and `..` for directions.
pub(crate) fn encoded(part: &str) -> String {
    match part.bytes().all(|byte| byte == b'.') {
        true => "%2E".repeat(part.len()),
        false => utf8_percent_encode(part, PLAIN).to_string(),
    }
}

/// An address with a query of those parameters that are given.
pub(crate) fn with_query(path: &str, params: &[(&str, Option<String>)]) -> String {
    let mut target = path.to_owned();
    let given = params.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    for (mark, (name, value)) in std::iter::once('?').chain(std::iter::repeat('&')).zip(given) {
        let _ = write!(target, "{mark}{name}={}", encoded(value));
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_key_makes_an_address_of_one_part(key in ".{1,40}") {
            let endpoint: Endpoint = "http://127.0.0.1:1".parse().unwrap();
            let uri = endpoint.uri(&format!("/v1/kv/{}", encoded(&key))).unwrap();
            prop_assert_eq!(uri.path().split('/').count(), 4);
            let part = uri.path().rsplit('/').next().unwrap();
            prop_assert!(part != "." && part != "..");
            prop_assert_eq!(percent_encoding::percent_decode_str(part).decode_utf8().unwrap(), key);
        }
    }

    #[test]
    fn endpoints_are_http_and_nothing_more() {
        for good in ["http://127.0.0.1:8080", "http://node.example:80/", "http://[::1]:1"] {
            assert!(good.parse::<Endpoint>().is_ok(), "{good}");
        }
        for bad in ["", "127.0.0.1:8080", "https://a:1", "http://a:1/v1", "http://a:1/?x", "http://"] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn queries_hold_what_is_given() {
        let target = with_query(
            "/v1/kv",
            &[("prefix", Some("a&b".into())), ("after", None), ("limit", Some("2".into()))],
        );
        assert_eq!(target, "/v1/kv?prefix=a%26b&limit=2");
    }
}
