//! What the system says of this process, under the names that every Prometheus exporter gives it. What a system
//! does not say is left out.

use std::fmt::Error;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::collected::Writer;

/// The process at one moment.
#[derive(Debug)]
pub(super) struct Process {
    cpu_seconds: f64,
    resident_bytes: Option<f64>,
    threads: Option<f64>,
    open_fds: Option<f64>,
    max_fds: Option<f64>,
}

impl Process {
    pub(super) fn read() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 * 1e-9,
            resident_bytes: field(&status, "VmRSS:").map(|kibibytes| kibibytes * 1024.0),
            threads: field(&status, "Threads:"),
            // One of them is the directory that is being read.
            open_fds: fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count().saturating_sub(1) as f64),
            max_fds: getrlimit(Resource::Nofile).current.map(|most| most as f64),
        }
    }
}

/// A number of `/proc/self/status`.
fn field(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut out = Writer(encoder);
        out.counter(("process_cpu_seconds", "Processor time of the process"), self.cpu_seconds)?;
        out.gauge_if(("process_resident_memory_bytes", "Memory of the process"), self.resident_bytes)?;
        out.gauge_if(("process_threads", "Threads of the process"), self.threads)?;
        out.gauge_if(("process_open_fds", "Open file descriptors"), self.open_fds)?;
        out.gauge_if(("process_max_fds", "File descriptors that may be open"), self.max_fds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_says_everything() {
        let Process { cpu_seconds, resident_bytes, threads, open_fds, max_fds } = Process::read();
        assert!(cpu_seconds > 0.0);
        assert!(resident_bytes.is_some_and(|bytes| bytes > 1e5 && bytes < 1e12));
        assert!(threads.is_some_and(|threads| threads >= 1.0));
        assert!(open_fds.is_some_and(|open| open >= 3.0));
        assert!(max_fds.is_none_or(|most| most >= open_fds.unwrap()));
        assert_eq!(field("VmRSS:\t  12 kB\nThreads:\t3\n", "Threads:"), Some(3.0));
        assert_eq!(field("VmRSS:\tx", "VmRSS:"), None);
    }
}
