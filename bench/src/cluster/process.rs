//! Processes that are measured: started, ended, and what the system says of them.

use std::fs;
use std::process::{Child, Command, Stdio};

use super::error::ClusterError;

/// A process that ends with this.
#[derive(Debug)]
pub(super) struct Process(Child);

impl Process {
    /// Starts a program. What it prints goes nowhere unless the command says otherwise.
    pub(super) fn start(command: &mut Command) -> Result<Self, ClusterError> {
        let program = command.get_program().to_owned();
        command
            .stdin(Stdio::null())
            .spawn()
            .map(Self)
            .map_err(|source| ClusterError::Start { program, source })
    }

    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(super) const fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Ends it at once, as a power cut would.
    pub(super) fn kill(&mut self) -> Result<(), ClusterError> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already ended, or it will be with us.
        let _ = self.kill();
    }
}

/// Processor seconds that a process has used.
pub(super) fn processor_s(pid: u32) -> Result<f64, ClusterError> {
    /// Linux counts for programs in hundredths of a second, whatever the kernel's own clock is.
    const TICKS_PER_S: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold anything; user and system time are the 12th and 13th field behind it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks = fields.skip(11).take(2).map_while(|field| field.parse::<f64>().ok());
    Ok(ticks.sum::<f64>() / TICKS_PER_S)
}

/// Bytes of memory that a process has in use.
pub(super) fn resident_bytes(pid: u32) -> Result<f64, ClusterError> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    kib.map(|kib| kib * 1_024.0).ok_or(ClusterError::Nobody)
}
