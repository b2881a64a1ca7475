//! The operations on a disk that a program's system calls are.
//!
//! Whatever else a program does to its files is not modelled and fails the test: a call that is passed over could be
//! the one that loses data.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use crate::disk::{Change, Disk, Inode, Op, ROOT, Syncs};
use crate::trace::{Call, Moment, bytes, moments, number};

/// Calls that change files, or could; those that only look are left out. Of reads only the length matters.
const CALLS: &str = "\
    openat,openat2,open,creat,close,close_range,read,readv,preadv,lseek,dup,dup2,dup3,fcntl,\
    write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,sendmmsg,ftruncate,truncate,fallocate,\
    fsync,fdatasync,sync,syncfs,sync_file_range,msync,mmap,\
    rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,mknod,mknodat,link,linkat,symlink,symlinkat,\
    chmod,fchmod,fchmodat,fchmodat2,copy_file_range,sendfile,splice,vmsplice,tee,ioctl,chdir,fchdir,chroot,\
    io_setup,io_submit,io_uring_setup,open_by_handle_at,memfd_create,fork,vfork,execve,execveat";

/// What nobody but the owner may do here, whatever the umask is. Only the file of the key depends on its mode.
const UMASK: u32 = 0o022;

/// The program to run another one through so that its calls are written to a file.
pub fn tracing(trace: &Path) -> Command {
    // Other calls do not stop it.
    writing_to(trace, &["--seccomp-bpf"])
}

fn writing_to(trace: &Path, options: &[&str]) -> Command {
    let calls: Vec<_> = CALLS.split(',').map(|call| format!("?{call}")).collect();
    let mut strace = Command::new("strace");
    strace.args(options).args(["-f", "-qq", "-s", "67108864", "-e", "signal=none"]);
    strace.args(["-e", &format!("trace={}", calls.join(","))]);
    strace.args(["-e", "raw=read,readv,preadv", "-e", "verbose=all", "-o"]).arg(trace);
    strace
}

/// Calls that make what a program does durable, or visible under its name.
const TURNS: &str = "fsync,fdatasync,rename,renameat,unlink";

/// As [`tracing`], and the program is killed when a thread makes the `nth` of one of some calls. Its files stay as they are.
pub fn tracing_and_killing(trace: &Path, nth: usize) -> Command {
    // With a filter in the kernel strace sends no signal.
    writing_to(trace, &["-e", &format!("inject={TURNS}:signal=SIGKILL:when={nth}")])
}

/// What has happened to the files below a directory.
pub struct Recording {
    /// As it was when the recording began.
    before: Disk,
    /// As the last operation left it.
    disk: Disk,
    root: PathBuf,
    pub ops: Vec<Op>,
}

/// An open file, which several descriptors may share.
struct Open {
    inode: Inode,
    offset: u64,
    appends: bool,
}

/// One process.
struct Process<'r> {
    to: &'r mut Recording,
    /// Its descriptors of files of the recording.
    open: HashMap<i64, Rc<RefCell<Open>>>,
    begun: bool,
}

impl Recording {
    /// Of the files below a directory, which are on the disk as they are.
    pub fn of(root: &Path, syncs: Syncs) -> Self {
        let before = Disk::holding(root).with(syncs);
        Self { disk: before.clone(), before, root: root.canonicalize().unwrap(), ops: Vec::new() }
    }

    /// Adds what one process did.
    pub fn add(&mut self, trace: &str) {
        let mut process = Process { to: self, open: HashMap::new(), begun: false };
        moments(trace, |moment| match moment {
            Moment::Begins(call) => process.begins(&call),
            Moment::Ends(call) => process.ends(&call),
        });
    }

    /// Somebody else makes a directory, and syncs nothing.
    pub fn make_dir(&mut self, name: &str) {
        std::fs::create_dir(self.root.join(name)).unwrap();
        self.make(ROOT, name, 0o777, true);
    }

    /// The disk when so many operations had happened.
    pub fn disk_at(&self, ops: usize) -> Disk {
        let mut disk = self.before.clone();
        self.ops[..ops].iter().for_each(|op| disk.apply(op));
        disk
    }

    fn push(&mut self, op: Op) {
        self.disk.apply(&op);
        self.ops.push(op);
    }

    fn change(&mut self, inode: Inode, change: Change) {
        self.push(Op::Change { inode, change });
    }

    fn make(&mut self, dir: Inode, name: &str, mode: u32, is_dir: bool) -> Inode {
        let inode = self.disk.next_inode();
        self.push(Op::Make { mode: mode & !UMASK, is_dir });
        self.change(dir, Change::Names(vec![(name.to_owned(), Some(inode))]));
        inode
    }
}

impl Process<'_> {
    fn begins(&mut self, call: &Call) {
        match (call.name.as_str(), self.file_of(call)) {
            ("fsync" | "fdatasync", Some(file)) => {
                let inode = file.borrow().inode;
                // What is written on and on must keep its name; what is synced whole is renamed afterwards.
                assert!(
                    call.name == "fsync" || !self.to.disk.may_lose_name_of(inode),
                    "{} is synced, and a power loss would take it away: its name or one above it is not",
                    self.to.disk.path_of(inode)
                );
                self.to.push(Op::SyncBegins { thread: call.thread, inode });
            }
            // The number is free for others before the call has returned.
            ("close", Some(_)) => drop(self.open.remove(&descriptor(call))),
            ("write" | "writev" | "sendto" | "sendmsg", None) if descriptor(call) != 2 => {
                self.to.push(Op::Said(bytes(&call.args[1]).into()));
            }
            _ => {}
        }
    }

    fn ends(&mut self, call: &Call) {
        let Some(returned) = call.returned.filter(|&returned| returned >= 0) else { return };
        let args = &call.args;
        let file = self.file_of(call);
        match (call.name.as_str(), file) {
            ("execve", _) if !self.begun => self.begun = true,
            ("close", _) => {}
            ("openat", _) => self.open(call, self.place(&args[0], &args[1]), &args[2], args.get(3)),
            ("open", _) => self.open(call, self.place("AT_FDCWD", &args[0]), &args[1], args.get(2)),
            ("read" | "readv", Some(file)) => file.borrow_mut().offset += returned as u64,
            ("lseek", Some(file)) => file.borrow_mut().offset = returned as u64,
            ("write" | "writev", Some(file)) => self.write(&file, &args[1], returned),
            ("pwrite64" | "pwritev", Some(file)) => {
                let offset = number(&args[3]).unwrap() as u64;
                self.write_at(file.borrow().inode, offset, &args[1], returned);
            }
            ("ftruncate", Some(file)) => {
                let len = number(&args[1]).unwrap() as u64;
                self.to.change(file.borrow().inode, Change::SetLen(len));
            }
            ("fsync" | "fdatasync", Some(_)) => self.to.push(Op::SyncEnds { thread: call.thread }),
            ("mkdir", _) => self.mkdir(self.place("AT_FDCWD", &args[0]), &args[1]),
            ("mkdirat", _) => self.mkdir(self.place(&args[0], &args[1]), &args[2]),
            ("rename", _) => {
                self.rename(call, self.place("AT_FDCWD", &args[0]), self.place("AT_FDCWD", &args[1]));
            }
            ("renameat", _) => {
                self.rename(call, self.place(&args[0], &args[1]), self.place(&args[2], &args[3]));
            }
            ("unlink" | "rmdir", _) => self.unlink(self.place("AT_FDCWD", &args[0])),
            ("unlinkat", _) => self.unlink(self.place(&args[0], &args[1])),
            ("dup", Some(file)) => drop(self.open.insert(returned, file)),
            ("fcntl", Some(file)) => {
                if args[1].starts_with("F_DUPFD") {
                    self.open.insert(returned, file);
                }
            }
            (
                "read" | "readv" | "lseek" | "write" | "writev" | "pwrite64" | "pwritev" | "sendto"
                | "sendmsg" | "ftruncate" | "fsync" | "fdatasync" | "fcntl" | "dup" | "ioctl",
                None,
            ) => {}
            ("mmap", _) if !args[3].contains("MAP_SHARED") || !args[2].contains("PROT_WRITE") => {}
            _ => assert!(!self.concerns(call), "the model of a disk does not know {call:?}"),
        }
    }

    fn file_of(&self, call: &Call) -> Option<Rc<RefCell<Open>>> {
        self.open.get(&descriptor(call)).cloned()
    }

    /// Whether a call may have to do with files of the recording; one that nobody here makes is taken to.
    fn concerns(&self, call: &Call) -> bool {
        let never =
            ["sync", "io_", "fork", "vfork", "exec", "chdir", "fchdir", "chroot", "open_by", "vmsplice"];
        never.iter().any(|name| call.name.starts_with(name))
            || call.args.iter().any(|arg| match arg.starts_with('"') {
                true => self.place("AT_FDCWD", arg).is_some() || !bytes(arg).starts_with(b"/"),
                false => number(arg).is_some_and(|number| self.open.contains_key(&number)),
            })
    }

    /// The directory and the name there that a path is of; `None` outside the recording.
    fn place(&self, base: &str, path: &str) -> Option<(Inode, String)> {
        let path = PathBuf::from(String::from_utf8(bytes(path)).unwrap());
        let (mut dir, path) = if path.is_absolute() {
            (ROOT, path.strip_prefix(&self.to.root).ok()?.to_owned())
        } else {
            // The directory in which processes are started is outside.
            (self.open.get(&number(base)?)?.borrow().inode, path)
        };
        let mut names = Vec::new();
        for part in path.components() {
            match part {
                Component::Normal(name) => names.push(name.to_str().unwrap().to_owned()),
                Component::CurDir => {}
                other => panic!("the model of a disk does not know {other:?} in a path"),
            }
        }
        let name = names.pop()?;
        for name in names {
            let below = self.to.disk.named(dir, &name);
            dir = below
                .unwrap_or_else(|| panic!("{name} is not there, as far as is known: {}", path.display()));
        }
        Some((dir, name))
    }

    fn open(&mut self, call: &Call, at: Option<(Inode, String)>, flags: &str, mode: Option<&String>) {
        let descriptor = call.returned.unwrap();
        assert!(!self.open.contains_key(&descriptor), "open already: {call:?}");
        let Some((dir, name)) = at else {
            // The directory above everything is outside for whoever opens files, but may be synced.
            if call.args.iter().any(|arg| bytes(arg) == self.to.root.as_os_str().as_encoded_bytes()) {
                self.hold(descriptor, ROOT, flags);
            }
            return;
        };
        let has = |flag| flags.split('|').any(|word| word == flag);
        assert!(!has("O_TMPFILE") && !has("O_DSYNC") && !has("O_SYNC") && !has("O_DIRECT"), "{call:?}");
        let inode = match self.to.disk.named(dir, &name) {
            Some(inode) => inode,
            None => {
                assert!(has("O_CREAT"), "not there, as far as is known: {call:?}");
                let mode = u32::from_str_radix(mode.unwrap(), 8).unwrap();
                self.to.make(dir, &name, mode, false)
            }
        };
        if has("O_TRUNC") && self.to.disk.len(inode) > 0 {
            self.to.change(inode, Change::SetLen(0));
        }
        self.hold(descriptor, inode, flags);
    }

    fn hold(&mut self, descriptor: i64, inode: Inode, flags: &str) {
        let appends = flags.split('|').any(|word| word == "O_APPEND");
        self.open.insert(descriptor, Rc::new(RefCell::new(Open { inode, offset: 0, appends })));
    }

    fn write(&mut self, file: &RefCell<Open>, data: &str, written: i64) {
        let mut file = file.borrow_mut();
        if file.appends {
            file.offset = self.to.disk.len(file.inode);
        }
        self.write_at(file.inode, file.offset, data, written);
        file.offset += written as u64;
    }

    fn write_at(&mut self, inode: Inode, offset: u64, data: &str, written: i64) {
        let mut data = bytes(data);
        assert!(data.len() >= written as usize, "{} bytes of {written}", data.len());
        data.truncate(written as usize);
        self.to.change(inode, Change::Write { offset, data: data.into() });
    }

    fn mkdir(&mut self, at: Option<(Inode, String)>, mode: &str) {
        if let Some((dir, name)) = at {
            self.to.make(dir, &name, u32::from_str_radix(mode, 8).unwrap(), true);
        }
    }

    fn rename(&mut self, call: &Call, from: Option<(Inode, String)>, to: Option<(Inode, String)>) {
        match (from, to) {
            (None, None) => {}
            (Some((from_dir, from)), Some((dir, to))) if from_dir == dir => {
                let inode = self.to.disk.named(dir, &from);
                assert!(inode.is_some(), "not there, as far as is known: {call:?}");
                self.to.change(dir, Change::Names(vec![(from, None), (to, inode)]));
            }
            _ => panic!("the model of a disk does not know renames into other directories: {call:?}"),
        }
    }

    fn unlink(&mut self, at: Option<(Inode, String)>) {
        if let Some((dir, name)) = at {
            self.to.change(dir, Change::Names(vec![(name, None)]));
        }
    }
}

/// The descriptor that most calls begin with; none where it is something else.
fn descriptor(call: &Call) -> i64 {
    number(&call.args[0]).unwrap_or(-1)
}
