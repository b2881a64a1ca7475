//! What `strace` wrote, read back: every system call, when it began, and what it returned.

use std::collections::HashMap;
use std::rc::Rc;

/// A system call as far as it is written down.
#[derive(Debug)]
pub struct Call {
    /// The thread that made it.
    pub thread: u32,
    pub name: String,
    /// The arguments as they were printed.
    pub args: Vec<String>,
    /// What it returned; `None` while it goes on, or where nobody was left to be told.
    pub returned: Option<i64>,
}

/// Calls of several threads overlap: each begins once and ends at most once.
#[derive(Debug)]
pub enum Moment {
    Begins(Rc<Call>),
    Ends(Rc<Call>),
}

/// The calls in the order in which they began and ended.
pub fn moments(trace: &str, mut visit: impl FnMut(Moment)) {
    let mut begun = HashMap::<u32, &str>::new();
    for line in trace.lines() {
        let (thread, what) = line.trim_start().split_once(' ').unwrap();
        let (thread, what) = (thread.parse().unwrap(), what.trim_start());
        if what.starts_with("+++") || what.starts_with("---") {
            continue; // the end of a thread, a signal
        }
        if let Some(first) = what.strip_suffix("<unfinished ...>") {
            visit(Moment::Begins(Rc::new(parse(thread, first))));
            begun.insert(thread, first);
        } else if let Some(resumed) = what.strip_prefix("<... ") {
            let (name, rest) = resumed.split_once(" resumed>").unwrap();
            let call = parse(thread, &format!("{}{rest}", begun.remove(&thread).unwrap()));
            assert_eq!(call.name, name, "{line}");
            visit(Moment::Ends(Rc::new(call)));
        } else {
            let call = Rc::new(parse(thread, what));
            visit(Moment::Begins(Rc::clone(&call)));
            visit(Moment::Ends(call));
        }
    }
}

fn parse(thread: u32, text: &str) -> Call {
    let (name, rest) = text.split_once('(').unwrap_or_else(|| panic!("no system call: {text}"));
    let (mut args, mut depth, mut in_string, mut escaped) = (Vec::new(), 0, false, false);
    let (mut start, mut end) = (0, rest.len());
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' | b'(' => depth += 1,
            b')' if depth == 0 => {
                end = at;
                break;
            }
            b']' | b'}' | b')' => depth -= 1,
            b',' if depth == 0 => {
                args.push(rest[start..at].trim().to_owned());
                start = at + 1;
            }
            _ => {}
        }
    }
    args.push(rest[start..end].trim().to_owned());
    let returned = rest.get(end..).and_then(|rest| rest.split_once("= ")).map(|(_, value)| value);
    let returned = returned.and_then(|value| value.split(' ').next()).and_then(number);
    Call { thread, name: name.to_owned(), args, returned }
}

/// A number as it was printed, in decimal or in hexadecimal.
pub fn number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(u64::cast_signed),
        None => text.parse().ok(),
    }
}

/// The bytes of all strings in an argument, one behind the other: of a buffer, or of a list of buffers.
///
/// # Panics
/// Where a string was cut short.
pub fn bytes(arg: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), arg.bytes().peekable());
    let mut in_string = false;
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => {
                in_string = !in_string;
                assert!(in_string || rest.peek() != Some(&b'.'), "strace cut a string short: {arg:.100}");
            }
            _ if !in_string => {}
            b'\\' => bytes.push(match rest.next().unwrap() {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                b'v' => 0x0b,
                b'f' => 0x0c,
                digit @ b'0'..=b'7' => {
                    let mut value = digit - b'0';
                    for _ in 0..2 {
                        match rest.peek() {
                            Some(digit @ b'0'..=b'7') => value = value * 8 + (digit - b'0'),
                            _ => break,
                        }
                        rest.next();
                    }
                    value
                }
                other => other,
            }),
            other => bytes.push(other),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_calls_and_every_byte_are_read_back() {
        let trace = "7  write(4, \"a\\\\\\\"\\0001,)\\377\", 8 <unfinished ...>\n\
                     8  fsync(5)                = 0\n\
                     7  <... write resumed>)    = 8\n\
                     8  writev(6, [{iov_base=\"x\\n\", iov_len=2}, {iov_base=\"y\", iov_len=1}], 2) = 3\n\
                     8  --- SIGTERM {si_signo=SIGTERM} ---\n\
                     8  read(0x4, 0x7f00, 0x10) = 0xa\n\
                     8  mkdir(\"/d\", 0777)       = -1 EEXIST (File exists)\n\
                     7  +++ exited with 0 +++\n";
        let mut seen = Vec::new();
        moments(trace, |moment| {
            seen.push(match moment {
                Moment::Begins(call) => format!("{} {} begins", call.thread, call.name),
                Moment::Ends(call) => {
                    let data = call.args.get(1).map(|arg| bytes(arg)).unwrap_or_default();
                    format!("{} {} {:?} {data:?}", call.thread, call.name, call.returned.unwrap())
                }
            });
        });
        let expected = [
            "7 write begins",
            "8 fsync begins",
            "8 fsync 0 []",
            "7 write 8 [97, 92, 34, 0, 49, 44, 41, 255]",
            "8 writev begins",
            "8 writev 3 [120, 10, 121]",
            "8 read begins",
            "8 read 10 []",
            "8 mkdir begins",
            "8 mkdir -1 []",
        ];
        assert_eq!(seen, expected);
    }
}
