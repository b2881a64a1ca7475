//! Logs: to stderr, a line an event, as text or as a JSON object that names the node and its term. Requests of
//! clients, questions of other nodes, streams of entries and calls of kernels are spans: debug lines say in which they were
//! written, and from trace on a line says how long each took.

use std::fmt::{self, Debug};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};
use tensor_chain::NodeId;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{FmtSpan, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Config, LogFormat};

/// The node that this process runs, and its term: a line of another library would not name them.
static NODE: OnceLock<NodeId> = OnceLock::new();
static TERM: AtomicU64 = AtomicU64::new(0);

/// Starts logging at the level that `-v` and `-q` ask for: warnings by default.
pub fn start(config: &Config) {
    let level = match config.verbosity {
        ..=-1 => LevelFilter::ERROR,
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        3.. => LevelFilter::TRACE,
    };
    // The consensus library says of a member that is away ten times a second that it is. A node says it once.
    let of_library = if config.verbosity < 2 { level.min(LevelFilter::ERROR) } else { level };
    let targets = Targets::new().with_default(level).with_target(tensor_cluster::LIBRARY_TARGET, of_library);
    let spans = if level == LevelFilter::TRACE { FmtSpan::CLOSE } else { FmtSpan::NONE };
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_span_events(spans)
        .with_writer(std::io::stderr)
        .with_target(false);
    match config.log_format {
        LogFormat::Text => builder.with_ansi(false).finish().with(targets).init(),
        LogFormat::Json => {
            builder.event_format(JsonLines).finish().with(targets).init();
            // Else a panic would be text among the lines.
            std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a thread panicked")));
        }
    }
}

/// Says in every line from now on that this process runs a node.
pub fn of_node(node: NodeId) {
    // A process runs one.
    let _ = NODE.set(node);
}

/// Says in every line from now on that the node is in a term.
pub fn in_term(term: u64) {
    TERM.store(term, Ordering::Relaxed);
}

/// An object a line, the fields of the event beside time, level, source, spans from the outermost, node and term.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        let Fields(mut line) = fields;
        let metadata = event.metadata();
        line.insert("timestamp".to_owned(), time.into());
        line.insert("level".to_owned(), metadata.level().as_str().into());
        line.insert("target".to_owned(), metadata.target().into());
        let spans = context.event_scope().into_iter().flat_map(|scope| scope.from_root());
        let spans: Vec<_> = spans
            .map(|span| {
                let extensions = span.extensions();
                let fields =
                    extensions.get::<FormattedFields<N>>().map_or("", |fields| fields.fields.as_str());
                format!("{}{{{fields}}}", span.name())
            })
            .collect();
        if !spans.is_empty() {
            line.insert("spans".to_owned(), spans.into());
        }
        if let Some(node) = NODE.get() {
            line.insert("node".to_owned(), node.to_string().into());
            line.entry("term").or_insert_with(|| TERM.load(Ordering::Relaxed).into());
        }
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// The fields of an event.
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format!("{value:?}"));
    }
}
