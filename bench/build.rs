//! Notes what was built: the commit, whether the sources differ from it, the compiler and the profile.
//! Where there is no repository, as in a source archive, the commit is `unknown`.

use std::process::Command;

fn main() {
    for part in ["../bench", "../kernels", "../datasets", "../chain", "../Cargo.lock"] {
        println!("cargo::rerun-if-changed={part}");
    }
    if let Some(log) = output("git", &["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    let commit = output("git", &["rev-parse", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    let changed =
        output("git", &["status", "--porcelain", "--untracked-files=no"]).is_some_and(|s| !s.is_empty());
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let rustc = output(&compiler, &["--version"]).unwrap_or_else(|| "unknown".to_owned());
    let profile = std::env::var("PROFILE").unwrap_or_else(|_| "unknown".to_owned());
    println!("cargo::rustc-env=BENCH_COMMIT={commit}{}", if changed { " and changes" } else { "" });
    println!("cargo::rustc-env=BENCH_RUSTC={rustc}");
    println!("cargo::rustc-env=BENCH_PROFILE={profile}");
}

/// What a program prints, without the line end; `None` where it is missing or fails.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
