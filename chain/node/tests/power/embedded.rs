//! A chain in a directory, written by one command after the other, with power losses during and after them.
//!
//! What one power loss leaves is what the next commands find, so the repairs at opening meet power losses as well. Some
//! commands are killed: the next one finds what they had not synced, and may not take it for durable.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;
use tensor_chain::{ChainError, TensorChain, TensorStore};

use crate::crash::{FATES, Fate, below, write_image};
use crate::disk::{Change, Op, Syncs};
use crate::recording::{Recording, tracing, tracing_and_killing};
use crate::{can_trace, data, dose, moment_of, random, tensorchain, verify};

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];
/// Lengths of values: within a sector, over several, over several pages.
const LENGTHS: [usize; 4] = [10, 200, 3_000, 20_000];
const COMMANDS_A_LIFE: usize = 3;
const IMAGES_A_LIFE: usize = 12;
/// As often does a command make a call at which it can be killed.
const TURNS: usize = 16;

/// The value of each key that has one.
type State = BTreeMap<String, String>;

/// A command that was run.
struct Step {
    /// The operation with which it began, and the one with which it was acknowledged, if it was.
    began: usize,
    acknowledged: Option<usize>,
    key: &'static str,
    value: Option<String>,
}

/// What one life of the directory was, from one power loss to the next.
struct Life {
    recording: Recording,
    before: State,
    steps: Vec<Step>,
}

impl Step {
    fn applied_to(&self, state: &State) -> State {
        let mut state = state.clone();
        match &self.value {
            Some(value) => state.insert(self.key.to_owned(), value.clone()),
            None => state.remove(self.key),
        };
        state
    }
}

impl Life {
    /// Runs commands on what is below `root`, where the state is `before`; those with a number are killed at that turn.
    fn live(
        root: &Path,
        recording: Recording,
        before: State,
        kills: &[Option<usize>],
        random: &mut ChaCha8Rng,
    ) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let trace = scratch.path().join("trace");
        let mut life = Self { recording, before, steps: Vec::new() };
        for kill in kills {
            let key = KEYS[below(random, KEYS.len())];
            let number = format!("{}.", below(random, 1_000_000));
            let value = number.repeat(LENGTHS[below(random, LENGTHS.len())] / 5);
            // The first of a new chain puts: a deletion would make none.
            let first = life.before.is_empty() && life.steps.is_empty();
            let value = (first || below(random, 5) > 0).then_some(value);
            let through = match kill {
                Some(nth) => tracing_and_killing(&trace, *nth),
                None => tracing(&trace),
            };
            let mut command = tensorchain(Some(through), root);
            match &value {
                Some(value) => command.args(["put", key, value]),
                None => command.args(["delete", key]),
            };
            let output = command.output().unwrap();
            // A killed `put` may not have made the chain.
            let nothing_there =
                value.is_none() && output.stderr.windows(11).any(|text| text == b"no chain in");
            let ended_well = output.status.code() == Some(if nothing_there { 1 } else { 0 });
            assert!(ended_well || output.status.signal() == Some(9), "{output:?}");
            let began = life.recording.ops.len();
            life.recording.add(&fs::read_to_string(&trace).unwrap());
            // A line is the acknowledgement, whether or not the process lived to exit.
            let last = |op: &Op| matches!(op, Op::Said(text) if output.stdout.ends_with(text) && text.ends_with(b"\n"));
            let acknowledged = output
                .stdout
                .ends_with(b"\n")
                .then(|| began + life.recording.ops[began..].iter().rposition(last).unwrap());
            life.steps.push(Step { began, acknowledged, key, value });
        }
        life
    }

    /// When the block of a step is on the disk, although nobody has been told.
    fn when_written(&self, step: usize) -> usize {
        let Step { began, key, value, .. } = &self.steps[step];
        let text = value.as_deref().unwrap_or(key).as_bytes();
        let writes = |op: &Op| {
            matches!(op, Op::Change { change: Change::Write { data, .. }, .. }
                if data.windows(text.len()).any(|part| part == text))
        };
        let written = began + self.recording.ops[*began..].iter().position(writes).unwrap();
        let synced = |op: &Op| matches!(op, Op::SyncEnds { .. });
        written + self.recording.ops[written..].iter().position(synced).unwrap() + 1
    }

    /// What a power loss may leave: what was acknowledged, and perhaps what was being done or not answered.
    fn allowed(&self, moment: usize) -> Vec<State> {
        let mut allowed = vec![self.before.clone()];
        for step in self.steps.iter().filter(|step| step.began < moment) {
            let applied: Vec<_> = allowed.iter().map(|state| step.applied_to(state)).collect();
            match step.acknowledged {
                Some(acknowledged) if acknowledged < moment => allowed = applied,
                _ => allowed.extend(applied),
            }
        }
        allowed
    }
}

/// Opens what a power loss left, and says what it reads there.
fn read(root: &Path) -> Result<State, String> {
    verify(root, &[])?;
    let state = read_chain(&data(root)).map_err(|error| error.to_string())?;
    verify(root, &["--full"])?;
    Ok(state)
}

fn read_chain(data: &Path) -> Result<State, ChainError> {
    let mut state = State::new();
    let chain = TensorChain::new(TensorStore::open(data)?, "node1");
    chain.initialize()?;
    for key in KEYS {
        let value = chain.get(key)?;
        state.extend(value.map(|value| (key.to_owned(), String::from_utf8(value).unwrap())));
    }
    chain.close()?;
    Ok(state)
}

fn shown(state: &State) -> Vec<String> {
    state.iter().map(|(key, value)| format!("{key}={value:.10}[{}]", value.len())).collect()
}

/// So many power losses, one life after the other. What was lost by the first that lost something.
fn lose_power(images: usize, syncs: Syncs, fates: &[Fate], random: &mut ChaCha8Rng) -> Result<(), String> {
    let mut left: Option<(TempDir, State)> = None;
    for life_number in 0..images.div_ceil(IMAGES_A_LIFE) {
        // The first two begin with nothing: in a directory that somebody has just made, and without one.
        let (root, state) = left
            .take()
            .filter(|_| life_number > 1)
            .unwrap_or_else(|| (tempfile::tempdir().unwrap(), State::new()));
        let mut recording = Recording::of(root.path(), syncs);
        if life_number == 0 {
            recording.make_dir("data");
        }
        let kills = [(); COMMANDS_A_LIFE].map(|()| (below(random, 3) == 0).then(|| 1 + below(random, TURNS)));
        let life = Life::live(root.path(), recording, state, &kills, random);
        for _ in 0..IMAGES_A_LIFE {
            let (moment, fate) = (moment_of(&life.recording, random), fates[below(random, fates.len())]);
            let disk = life.recording.disk_at(moment);
            let image = tempfile::tempdir().unwrap();
            let again = random.clone();
            write_image(&disk, fate, random, image.path());
            let what =
                format!("life {life_number}, {moment} of {} operations, {fate:?}", life.recording.ops.len());
            let read = read(image.path()).map_err(|error| format!("{what}: {error}"))?;
            let allowed = life.allowed(moment);
            if !allowed.contains(&read) {
                let allowed: Vec<_> = allowed.iter().map(shown).collect();
                return Err(format!("{what}: found {:?}, expected one of {allowed:?}", shown(&read)));
            }
            // Reading has repaired that one; the next life begins with one like it.
            let fresh = tempfile::tempdir().unwrap();
            write_image(&disk, fate, &mut again.clone(), fresh.path());
            left = Some((fresh, read));
        }
    }
    Ok(())
}

/// POWER_IMAGES says of how many moments.
#[test]
fn no_power_loss_takes_an_acknowledged_write_of_a_chain_in_a_directory() {
    if can_trace() {
        lose_power(dose("POWER_IMAGES", 96), Syncs::Honest, &FATES, &mut random()).unwrap();
    }
}

/// What a killed command had not synced is synced before the next one builds on it: killed at each turn in turn.
#[test]
fn what_a_killed_command_left_does_not_take_the_next_one_along() {
    if !can_trace() {
        return;
    }
    let (mut random, mut killed) = (random(), 0);
    for nth in 1..=TURNS {
        let root = tempfile::tempdir().unwrap();
        let recording = Recording::of(root.path(), Syncs::Honest);
        let life = Life::live(root.path(), recording, State::new(), &[None, Some(nth), None], &mut random);
        killed += usize::from(life.steps[1].acknowledged.is_none());
        let image = tempfile::tempdir().unwrap();
        let moment = life.when_written(2);
        write_image(&life.recording.disk_at(moment), Fate::Lost, &mut random, image.path());
        let read = read(image.path()).unwrap_or_else(|error| panic!("killed at turn {nth}: {error}"));
        assert!(life.allowed(moment).contains(&read), "killed at turn {nth}: {:?}", shown(&read));
    }
    assert!(killed * 3 > TURNS, "only {killed} of {TURNS} were killed");
}

/// A test of the test.
#[test]
fn on_a_disk_whose_syncs_do_nothing_acknowledged_writes_are_missed() {
    if can_trace() {
        let lost = lose_power(96, Syncs::Lie, &[Fate::Lost], &mut random());
        assert!(lost.as_ref().is_err_and(|lost| lost.contains("found")), "{lost:?}");
    }
}
