//! Settings: flag > environment > file > default, each with where it came from.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use figment::error::{Actual, Kind};
use figment::providers::{Env, Format as _, Serialized, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::{Deserialize, Serialize};
use tensor_cluster::Timing;
use tensor_kernels::{ISA_ENV, Threads};

use crate::cli::GlobalArgs;
use crate::device::Device;
use crate::exit::{Exit, Failure};
use crate::http::{HealthLimits, Token};

/// Prefix of environment variables.
const PREFIX: &str = "TENSORCHAIN_";
/// The setting whose value is shown nowhere.
const SECRET: &str = "admin_token";
/// What is shown of a secret.
const HIDDEN: &str = "(set)";
/// Most worker threads: more than any machine has processors for; starting millions would never end.
const MAX_THREADS: usize = 1_024;
/// What flags are called as the origin of a setting.
const COMMAND_LINE: &str = "command line";
/// Variables with the prefix that are not settings: the file to read; what libraries read themselves, the level of the
/// kernels and the cache; and what is for tests, a GPU in software.
const NOT_SETTINGS: [&str; 4] = ["CONFIG", "ISA", "CACHE", "ALLOW_SOFTWARE_GPU"];

/// Settings as written, before they are checked. Field names are the keys of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    data_dir: PathBuf,
    endpoint: String,
    device: String,
    on_fallback: String,
    threads: usize,
    output: String,
    log_format: String,
    listen_peer: String,
    listen_http: String,
    advertise_peer: String,
    admin_token: String,
    timing: String,
    advertise_http: String,
    health: String,
    checkpoint_every: u64,
    disk_limit_percent: u8,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            data_dir: "tensorchain-data".into(),
            endpoint: String::new(),
            device: "auto".into(),
            on_fallback: "warn".into(),
            threads: 0,
            output: "table".into(),
            log_format: "text".into(),
            listen_peer: "127.0.0.1:7080".into(),
            listen_http: "127.0.0.1:8080".into(),
            advertise_peer: String::new(),
            admin_token: String::new(),
            timing: "default".into(),
            advertise_http: String::new(),
            health: String::new(),
            checkpoint_every: 1_000,
            disk_limit_percent: 95,
        }
    }
}

/// Checked settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// Directory that holds the chain.
    pub data_dir: PathBuf,
    /// Whether `data_dir` was named anywhere, rather than left to the default.
    pub data_dir_given: bool,
    /// Nodes to ask instead of the directory; none for the directory.
    pub endpoints: Vec<String>,
    /// What computes.
    pub device: Device,
    /// What to do when a device fails in use.
    pub on_fallback: OnFallback,
    /// Worker threads.
    pub threads: Threads,
    /// Form of answers.
    pub output: Format,
    /// Form of logs.
    pub log_format: LogFormat,
    /// How a node is run.
    pub node: NodeConfig,
    /// `-v` counts up, `-q` counts down.
    pub verbosity: i16,
    settings: Vec<Setting>,
}

/// How a node is run.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Where it listens for other nodes.
    pub listen_peer: SocketAddr,
    /// Where it listens for clients.
    pub listen_http: SocketAddr,
    /// Where other nodes reach it, where that is not the address it listens on.
    pub advertise_peer: Option<String>,
    /// Where clients reach this node, where that is not the address it listens on.
    pub advertise_http: Option<String>,
    /// What makes it healthy.
    pub health: HealthLimits,
    /// Token of the requests that change the cluster; without one a node takes none.
    pub admin_token: Option<Token>,
    /// When it takes others for dead.
    pub timing: Timing,
    /// It votes on the blocks at the heights that this divides. The same for all nodes of a cluster.
    pub checkpoint_every: NonZeroU64,
    /// From how full a disk on it refuses writes, in percent: 1 to 100.
    pub disk_limit_percent: u8,
}

/// One setting, for `config show`.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    /// Key in the file.
    pub key: String,
    /// Value in force.
    pub value: String,
    /// Where it came from.
    pub origin: String,
}

/// Form of answers on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Form of logs on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// A line an event.
    Text,
    /// A JSON object an event.
    Json,
}

/// What to do when a device fails in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFallback {
    /// Say so once and go on without it.
    Warn,
    /// Fail.
    Error,
}

impl Config {
    /// Reads and checks all settings.
    ///
    /// # Errors
    /// Exit 10 naming the key: a file that cannot be read, an unknown key, a value out of range.
    pub fn load(args: &GlobalArgs) -> Result<Self, Failure> {
        let bad = |message: String| Failure::new(Exit::BadConfig, message);
        let file =
            args.config.clone().or_else(|| std::env::var_os(format!("{PREFIX}CONFIG")).map(PathBuf::from));
        let mut figment = Figment::from(Named("default", Serialized::defaults(Raw::default())));
        if let Some(path) = &file {
            figment = figment.merge(read_file(path).map_err(bad)?);
        }
        let variables = Env::prefixed(PREFIX).filter(|key| !NOT_SETTINGS.iter().any(|name| key == *name));
        let defaults = defaults().map_err(bad)?;
        let figment = figment
            .merge(AsWritten { variables, defaults: &defaults })
            .merge(Named(COMMAND_LINE, Serialized::defaults(args)));
        check_keys(&figment, &defaults).map_err(bad)?;
        let raw: Raw = figment.extract().map_err(|error| bad(in_words(error)))?;

        let settings = settings(&figment, &raw);
        let origin = |key: &str| settings.iter().find(|s| s.key == key).map_or("", |s| &s.origin).to_owned();
        let parse_error = |key: &str, value: &str, expected: &str| {
            bad(format!("{key} = {value:?} (from {}): expected {expected}", origin(key)))
        };
        Ok(Self {
            data_dir_given: origin("data_dir") != "default",
            // A directory on the command line means the directory, whatever the environment says.
            endpoints: match (origin("data_dir").as_str(), origin("endpoint").as_str()) {
                (COMMAND_LINE, from) if from != COMMAND_LINE => Vec::new(),
                _ => raw.endpoint.split(',').filter(|url| !url.is_empty()).map(str::to_owned).collect(),
            },
            data_dir: raw.data_dir,
            device: Device::from_str(&raw.device)
                .map_err(|()| parse_error("device", &raw.device, "auto, scalar, simd, gpu or gpu:N"))?,
            on_fallback: match raw.on_fallback.as_str() {
                "warn" => OnFallback::Warn,
                "error" => OnFallback::Error,
                other => return Err(parse_error("on_fallback", other, "warn or error")),
            },
            threads: match raw.threads {
                count @ 0..=MAX_THREADS => Threads::from_count(count),
                other => {
                    return Err(parse_error("threads", &other.to_string(), &format!("0 to {MAX_THREADS}")));
                }
            },
            output: match raw.output.as_str() {
                "table" => Format::Table,
                "json" => Format::Json,
                other => return Err(parse_error("output", other, "table or json")),
            },
            log_format: match raw.log_format.as_str() {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                other => return Err(parse_error("log_format", other, "text or json")),
            },
            node: NodeConfig {
                listen_peer: raw
                    .listen_peer
                    .parse()
                    .map_err(|_| parse_error("listen_peer", &raw.listen_peer, "ADDRESS:PORT"))?,
                listen_http: raw
                    .listen_http
                    .parse()
                    .map_err(|_| parse_error("listen_http", &raw.listen_http, "ADDRESS:PORT"))?,
                advertise_peer: Some(raw.advertise_peer.clone()).filter(|address| !address.is_empty()),
                advertise_http: Some(raw.advertise_http.clone()).filter(|address| !address.is_empty()),
                health: raw
                    .health
                    .parse()
                    .map_err(|wrong: String| bad(format!("health (from {}): {wrong}", origin("health"))))?,
                admin_token: match raw.admin_token.as_str() {
                    "" => None,
                    secret => Some(
                        Token::new(secret).ok_or_else(|| parse_error(SECRET, HIDDEN, "16 bytes or more"))?,
                    ),
                },
                timing: match raw.timing.as_str() {
                    "default" => Timing::default(),
                    "lan" => Timing::lan(),
                    "wan" => Timing::wan(),
                    other => return Err(parse_error("timing", other, "default, lan or wan")),
                },
                checkpoint_every: NonZeroU64::new(raw.checkpoint_every)
                    .ok_or_else(|| parse_error("checkpoint_every", "0", "1 or more"))?,
                disk_limit_percent: match raw.disk_limit_percent {
                    percent @ 1..=100 => percent,
                    other => {
                        return Err(parse_error("disk_limit_percent", &other.to_string(), "1 to 100"));
                    }
                },
            },
            verbosity: i16::from(args.verbose) - i16::from(args.quiet),
            settings,
        })
    }

    /// Every setting with its origin, in a fixed order.
    #[must_use]
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }
}

/// A provider under a name of ours, so that `config show --origin` speaks of flags, not of types.
struct Named<P>(&'static str, P);

impl<P: Provider> Provider for Named<P> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.0)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        self.1.data()
    }
}

/// Environment variables as they were written: only what is a number by default is read as one. Figment itself would
/// take a directory named `2024` for a number and a token of digits for another.
struct AsWritten<'d> {
    variables: Env,
    defaults: &'d BTreeMap<String, Value>,
}

impl Provider for AsWritten<'_> {
    fn metadata(&self) -> Metadata {
        self.variables.metadata()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let value = |key: &str, text: String| match (self.defaults.get(key), text.parse::<u64>()) {
            (Some(Value::Num(..)), Ok(number)) => Value::from(number),
            _ => Value::from(text),
        };
        let dict = self.variables.iter().map(|(key, text)| (key.to_string(), value(key.as_str(), text)));
        Ok(Profile::Default.collect(dict.collect()))
    }
}

/// Every key with its default.
fn defaults() -> Result<BTreeMap<String, Value>, String> {
    Figment::from(Serialized::defaults(Raw::default())).extract().map_err(in_words)
}

/// What is wrong, without a secret: neither its value nor a line of the file, which may hold one.
fn in_words(error: figment::Error) -> String {
    let words = error.into_iter().map(|mut error| {
        let secret = error.path.iter().any(|key| key == SECRET);
        match &mut error.kind {
            Kind::InvalidType(found, _) | Kind::InvalidValue(found, _) if secret => {
                *found = Actual::Other("a value that is not shown".to_owned());
            }
            Kind::Message(message) => *message = without_excerpt(message),
            _ => {}
        }
        error.to_string()
    });
    format!("configuration: {}", words.collect::<Vec<_>>().join("; "))
}

/// A syntax error without the lines that quote the file: `1 | key = value` and the mark below it.
fn without_excerpt(message: &str) -> String {
    let quotes =
        |line: &&str| line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit()).starts_with('|');
    let lines = message.lines().filter(|line| !quotes(line));
    lines.collect::<Vec<_>>().join(": ")
}

/// The file, which must exist: a path that was asked for is never passed over.
fn read_file(path: &Path) -> Result<figment::providers::Data<Toml>, String> {
    std::fs::metadata(path).map_err(|error| format!("configuration file {}: {error}", path.display()))?;
    Ok(Toml::file_exact(path))
}

/// Refuses keys that do not exist and names the nearest that does.
fn check_keys(figment: &Figment, known: &BTreeMap<String, Value>) -> Result<(), String> {
    let found: BTreeMap<String, Value> = figment.extract().map_err(in_words)?;
    let Some(key) = found.keys().find(|key| !known.contains_key(*key)) else { return Ok(()) };
    let likeness = |other: &str| strsim::jaro_winkler(key, other);
    let nearest = known.keys().max_by(|a, b| likeness(a).total_cmp(&likeness(b)).then_with(|| b.cmp(a)));
    let hint = nearest.map_or(String::new(), |nearest| format!("; did you mean {nearest:?}?"));
    Err(format!("unknown configuration key {key:?} (from {}){hint}", origin(figment, key)))
}

fn origin(figment: &Figment, key: &str) -> String {
    let Some(metadata) = figment.find_metadata(key) else { return "unknown".to_owned() };
    match (&metadata.source, metadata.name.contains("environment")) {
        (_, true) => format!("environment {PREFIX}{}", key.to_uppercase()),
        (Some(source), false) => source.to_string(),
        (None, false) => metadata.name.to_string(),
    }
}

fn settings(figment: &Figment, raw: &Raw) -> Vec<Setting> {
    let secret = if raw.admin_token.is_empty() { "" } else { HIDDEN };
    let values = [
        (SECRET, secret.to_owned()),
        ("advertise_http", raw.advertise_http.clone()),
        ("advertise_peer", raw.advertise_peer.clone()),
        ("checkpoint_every", raw.checkpoint_every.to_string()),
        ("data_dir", raw.data_dir.display().to_string()),
        ("device", raw.device.clone()),
        ("disk_limit_percent", raw.disk_limit_percent.to_string()),
        ("endpoint", raw.endpoint.clone()),
        ("health", raw.health.clone()),
        ("listen_http", raw.listen_http.clone()),
        ("listen_peer", raw.listen_peer.clone()),
        ("log_format", raw.log_format.clone()),
        ("on_fallback", raw.on_fallback.clone()),
        ("output", raw.output.clone()),
        ("threads", raw.threads.to_string()),
        ("timing", raw.timing.clone()),
    ];
    let mut settings: Vec<_> = values
        .into_iter()
        .map(|(key, value)| Setting { key: key.to_owned(), value, origin: origin(figment, key) })
        .collect();
    if let Some(value) = std::env::var_os(ISA_ENV).filter(|value| !value.is_empty()) {
        let (value, origin) = (value.to_string_lossy().into_owned(), format!("environment {ISA_ENV}"));
        settings.push(Setting { key: "isa".to_owned(), value, origin });
    }
    settings
}
