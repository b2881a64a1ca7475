//! What is handed to operators holds: configurations load, and every command exists as it is written.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};

use clap::Parser;
use tensor_node::cli::{Cli, Command};
use tensor_node::config::Config;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

fn read(file: &str) -> String {
    std::fs::read_to_string(deploy().join(file)).unwrap()
}

/// A line of a shell as the binary sees it.
fn parse(line: &str) -> Cli {
    let words = line.split('#').next().unwrap_or_default().split_whitespace();
    Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn every_example_configuration_loads() {
    let files = ["embedded", "local-1", "local-2", "local-3", "machine"];
    let there = deploy().join("config").read_dir().unwrap().count();
    assert_eq!(files.len(), there, "each file has its line here");
    let load = |name: &str| {
        let file = deploy().join("config").join(format!("{name}.toml"));
        let cli = Cli::try_parse_from(["tensorchain", "node", "--config", file.to_str().unwrap()]).unwrap();
        Config::load(&cli.global).unwrap_or_else(|failure| panic!("{name}: {:?}", failure.message()))
    };
    let loaded = files.map(load);
    let local: std::collections::BTreeSet<_> = loaded[1..4]
        .iter()
        .flat_map(|config| {
            let directory = config.data_dir.display().to_string();
            [directory, config.node.listen_peer.to_string(), config.node.listen_http.to_string()]
        })
        .collect();
    assert_eq!(local.len(), 9, "three nodes on one machine share nothing: {local:?}");
    let machine = &loaded[4].node;
    assert!(machine.listen_http.ip().is_loopback() && !machine.listen_peer.ip().is_loopback());
    assert!(machine.advertise_peer.is_some());
}

#[test]
fn every_command_of_the_runbook_is_one() {
    let text = read("RUNBOOK.md");
    let commands: Vec<_> = text.lines().filter(|line| line.starts_with("tensorchain ")).map(parse).collect();
    assert!(commands.len() > 20, "{} commands", commands.len());
    for link in text.split("](#").skip(1).filter_map(|rest| rest.split(')').next()) {
        let has = |line: &str| line.trim_start_matches(['#', ' ']).to_lowercase().replace(' ', "-") == link;
        assert!(text.lines().any(|line| line.starts_with("## ") && has(line)), "no section {link}");
    }
}

#[test]
fn every_alert_has_its_line_in_the_runbook_and_the_other_way_round() {
    let (alerts, runbook) = (read("alerts.yml"), read("RUNBOOK.md"));
    let named: std::collections::BTreeSet<_> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let table = runbook.split("## Alerts").nth(1).unwrap();
    let explained: std::collections::BTreeSet<_> =
        table.split('`').filter(|word| word.starts_with("Tensorchain")).collect();
    assert_eq!(named, explained);
}

#[test]
fn the_unit_runs_a_node_and_leaves_alone_what_a_restart_would_not_mend() {
    let unit = read("tensorchain.service");
    let setting = |name: &str| unit.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).unwrap();
    let started = parse(&setting("ExecStart").replace("$NODE_ARGS", "--join TICKET"));
    assert!(matches!(started.command, Command::Node(_)));
    assert_eq!(setting("Type"), "notify");
    let left_alone: Vec<u8> =
        setting("RestartPreventExitStatus").split(' ').map(|code| code.parse().unwrap()).collect();
    for code in [20, 21, 30] {
        assert!(left_alone.contains(&code), "{code}");
    }
}
