//! What goes wrong and when: drawn from the seed. Every run has some of the kinds of faults and not others, so that over
//! many runs each meets many companies.

use std::collections::BTreeMap;

use crate::network::Weather;
use crate::random::Random;

/// What the world does at a tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Nothing gets through from the first to the second.
    Cut(Vec<(usize, usize)>),
    Heal,
    Crash(usize),
    /// Is shut down in good order.
    Stop(usize),
    Start(usize),
    Pause(usize),
    Resume(usize),
    /// The wall clock steps, milliseconds.
    Clock(usize, i64),
    Weather(Range, u64, u64),
    Fair,
    /// Syncs take these milliseconds.
    SlowDisk(usize, u64),
    FastDisk(usize),
    /// Connections break.
    Reset(usize),
}

type Range = (u64, u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Split,
    Isolate,
    OneWay,
    Bridge,
    Crash,
    CrashMany,
    Stop,
    Pause,
    Clock,
    Weather,
    SlowDisk,
    Reset,
}

const KINDS: [Kind; 12] = [
    Kind::Split,
    Kind::Isolate,
    Kind::OneWay,
    Kind::Bridge,
    Kind::Crash,
    Kind::CrashMany,
    Kind::Stop,
    Kind::Pause,
    Kind::Clock,
    Kind::Weather,
    Kind::SlowDisk,
    Kind::Reset,
];

pub struct Faults {
    random: Random,
    machines: usize,
    kinds: Vec<Kind>,
    next: u64,
    pause: u64,
    due: BTreeMap<u64, Vec<Event>>,
}

impl Faults {
    pub fn new(mut random: Random, machines: usize) -> Self {
        let mut kinds: Vec<Kind> = KINDS.into_iter().filter(|_| random.percent(60)).collect();
        kinds.push(Kind::Crash);
        let (next, pause) = (random.of(500..1_500), random.of(100..900));
        Self { random, machines, kinds, next, pause, due: BTreeMap::new() }
    }

    /// What happens at a tick. `leader` is who is thought to lead: it is hit more often than others.
    pub fn at(&mut self, now: u64, leader: Option<usize>) -> Vec<Event> {
        if now >= self.next {
            self.next = now + self.random.of(self.pause / 2..self.pause * 2);
            self.plan(now, leader);
        }
        let later = self.due.split_off(&(now + 1));
        std::mem::replace(&mut self.due, later).into_values().flatten().collect()
    }

    fn plan(&mut self, now: u64, leader: Option<usize>) {
        let Some(kind) = self.random.pick(&self.kinds) else { return };
        let random = &mut self.random;
        let lasts = random.of(30..400) * if random.percent(25) { 6 } else { 1 };
        // A disk that was slow for a moment is nobody's reason to do anything.
        let lasts = if kind == Kind::SlowDisk { lasts + random.of(500..2_500) } else { lasts };
        let any = random.index(self.machines);
        let victim = leader.filter(|_| random.percent(50)).unwrap_or(any);
        let others = |of: usize| (0..self.machines).filter(move |&other| other != of);
        let both = |a: usize, b: usize| [(a, b), (b, a)];
        let (begin, end) = match kind {
            Kind::Split => {
                let side: Vec<bool> = (0..self.machines).map(|_| random.percent(50)).collect();
                let pairs = (0..self.machines).flat_map(|a| others(a).map(move |b| (a, b)));
                (vec![Event::Cut(pairs.filter(|&(a, b)| side[a] != side[b]).collect())], vec![Event::Heal])
            }
            Kind::Isolate => {
                let cut = others(victim).flat_map(|other| both(victim, other)).collect();
                (vec![Event::Cut(cut)], vec![Event::Heal])
            }
            Kind::OneWay => {
                let deaf = random.percent(50);
                let cut = others(victim).map(|other| if deaf { (other, victim) } else { (victim, other) });
                (vec![Event::Cut(cut.collect())], vec![Event::Heal])
            }
            Kind::Bridge => {
                // Two halves that only the bridge hears.
                let side: Vec<bool> = (0..self.machines).map(|_| random.percent(50)).collect();
                let pairs = others(any).flat_map(|a| others(any).map(move |b| (a, b)));
                (vec![Event::Cut(pairs.filter(|&(a, b)| side[a] != side[b]).collect())], vec![Event::Heal])
            }
            Kind::Crash => (vec![Event::Crash(victim)], vec![Event::Start(victim)]),
            Kind::CrashMany => {
                let all = random.percent(30);
                let victims: Vec<usize> = (0..self.machines).filter(|_| all || random.percent(60)).collect();
                let crash = victims.iter().map(|&victim| Event::Crash(victim)).collect();
                (crash, victims.into_iter().map(Event::Start).collect())
            }
            Kind::Stop => (vec![Event::Stop(victim)], vec![Event::Start(victim)]),
            Kind::Pause => (vec![Event::Pause(victim)], vec![Event::Resume(victim)]),
            Kind::Clock => {
                let steps = [-3_600_000, 3_600_000, -500, 500, 315_360_000_000, -315_360_000_000];
                (random.pick(&steps).map(|step| Event::Clock(any, step)).into_iter().collect(), Vec::new())
            }
            Kind::Weather => {
                let delay = (random.of(1..10), random.of(10..250));
                let (lost, doubled) = (random.of(0..30), random.of(0..30));
                (vec![Event::Weather(delay, lost, doubled)], vec![Event::Fair])
            }
            Kind::SlowDisk => {
                (vec![Event::SlowDisk(victim, random.of(20..300))], vec![Event::FastDisk(victim)])
            }
            Kind::Reset => (vec![Event::Reset(victim)], Vec::new()),
        };
        self.due.entry(now).or_default().extend(begin);
        self.due.entry(now + lasts).or_default().extend(end);
    }
}

impl Event {
    /// The name under which it is counted; `None` for the end of another.
    pub const fn name(&self) -> Option<&'static str> {
        match self {
            Self::Cut(_) => Some("partition"),
            Self::Crash(_) => Some("crash"),
            Self::Stop(_) => Some("shutdown"),
            Self::Pause(_) => Some("pause"),
            Self::Clock(..) => Some("clock step"),
            Self::Weather(..) => Some("weather"),
            Self::SlowDisk(..) => Some("slow disk"),
            Self::Reset(_) => Some("reset"),
            Self::Heal | Self::Start(_) | Self::Resume(_) | Self::Fair | Self::FastDisk(_) => None,
        }
    }

    pub fn weather(delay: Range, lost: u64, doubled: u64) -> Weather {
        Weather { delay: delay.0..delay.1 + 1, lost, doubled }
    }
}
