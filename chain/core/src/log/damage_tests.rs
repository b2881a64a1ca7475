//! What becomes of a damaged log: every way to harm a small one, and the verdict each must get.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use tempfile::TempDir;

use super::frame::{FRAME_HEADER_BYTES, FrameHeader};
use super::reader::FILE_NAME;
use super::{BlockLog, Damage, FileLog, LogError, LogReader, Tail};
use crate::ids::{BlockHash, Height};

const PAYLOADS: [&[u8]; 4] = [b"genesis", b"", b"the third block", b"last"];

/// A log of [`PAYLOADS`] and the offsets of its blocks, the end included.
fn small_log(closed: bool) -> (TempDir, Vec<u64>) {
    let dir = tempfile::tempdir().unwrap();
    let log = FileLog::create(dir.path(), b"params").unwrap();
    let heights = (0..).map(Height);
    let mut offsets: Vec<u64> =
        heights.zip(PAYLOADS).map(|(height, payload)| log.append(height, payload).unwrap()).collect();
    offsets.push(log.end());
    if closed {
        log.close(BlockHash([9; 32])).unwrap();
    }
    (dir, offsets)
}

fn log_bytes(dir: &Path) -> Vec<u8> {
    fs::read(dir.join(FILE_NAME)).unwrap()
}

/// Overwrites in place: some file systems flush a file that is cut to nothing first, and these tests write many.
fn set_log_bytes(dir: &Path, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(dir.join(FILE_NAME)).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
}

/// Reads all blocks without changing anything: how many are sound, and the verdict on the rest.
fn verify(dir: &Path) -> (usize, Result<Option<Tail>, LogError>) {
    let reader = match LogReader::open_read_only(dir) {
        Ok(reader) => reader,
        Err(error) => return (0, Err(error)),
    };
    let mut frames = reader.frames();
    let mut sound = 0;
    for frame in &mut frames {
        match frame {
            Ok(_) => sound += 1,
            Err(error) => return (sound, Err(error)),
        }
    }
    (sound, Ok(frames.tail()))
}

#[test]
fn a_sound_log_is_found_sound() {
    for closed in [false, true] {
        let (dir, _) = small_log(closed);
        let (sound, verdict) = verify(dir.path());
        assert_eq!((sound, verdict.unwrap()), (PAYLOADS.len(), None));
    }
}

#[test]
fn every_flipped_bit_of_a_closed_log_is_found_and_named() {
    let (dir, offsets) = small_log(true);
    let sound = log_bytes(dir.path());
    for bit in 0..sound.len() * 8 {
        let mut flipped = sound.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        set_log_bytes(dir.path(), &flipped);

        // The block that holds the byte, or else the file header.
        let holder = offsets.iter().rposition(|&offset| offset <= (bit / 8) as u64);
        let (before, verdict) = verify(dir.path());
        let error = verdict.expect_err("a flipped bit went unnoticed");
        let LogError::Corrupt { file, offset, height, reason } = &error else { panic!("bit {bit}: {error}") };
        assert_eq!(*file, dir.path().join(FILE_NAME));
        match holder {
            None => {
                assert_eq!(
                    (before, *offset, *height, *reason),
                    (0, 0, None, Damage::FileHeader),
                    "bit {bit}"
                );
            }
            Some(block) => {
                assert_eq!((before, *offset), (block, offsets[block]), "bit {bit}");
                assert_eq!(*height, Some(Height(block as u64)));
                let in_header = (bit / 8) as u64 - offsets[block] < FRAME_HEADER_BYTES as u64;
                assert_eq!(*reason, if in_header { Damage::FrameHeader } else { Damage::Payload });
            }
        }
        assert!(matches!(FileLog::open(dir.path()), Err(LogError::Corrupt { .. })), "bit {bit}");
        assert_eq!(log_bytes(dir.path()), flipped, "a corrupt log is left as it is");
    }
}

#[test]
fn every_flipped_bit_of_the_marker_is_found_and_named() {
    let (dir, _) = small_log(true);
    let path = dir.path().join("CLEAN");
    let sound = fs::read(&path).unwrap();
    for bit in 0..sound.len() * 8 {
        let mut flipped = sound.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &flipped).unwrap();
        let (_, verdict) = verify(dir.path());
        let named =
            matches!(&verdict, Err(LogError::Corrupt { file, reason: Damage::Marker, .. }) if *file == path);
        assert!(named, "bit {bit}: {verdict:?}");
    }
    for len in 0..sound.len() {
        fs::write(&path, &sound[..len]).unwrap();
        assert!(matches!(verify(dir.path()).1, Err(LogError::Corrupt { reason: Damage::Marker, .. })));
    }
}

#[test]
fn a_closed_log_of_another_length_is_corrupt() {
    let (dir, offsets) = small_log(true);
    let sound = log_bytes(dir.path());
    for len in 0..sound.len() {
        set_log_bytes(dir.path(), &sound[..len]);
        assert!(matches!(verify(dir.path()).1, Err(LogError::Corrupt { .. })), "{len} bytes");
        assert!(matches!(FileLog::open(dir.path()), Err(LogError::Corrupt { .. })), "{len} bytes");
    }
    // Whole blocks missing, or one too many: every block is sound, but this is not how the log was left.
    set_log_bytes(dir.path(), &sound[..offsets[3] as usize]);
    let expected = sound.len() as u64;
    let missing = Damage::Length { got: offsets[3], expected };
    assert!(matches!(verify(dir.path()), (3, Err(LogError::Corrupt { reason, .. })) if reason == missing));
    let added = [&sound[..], &FrameHeader::new(Height(4), b"").to_bytes()].concat();
    set_log_bytes(dir.path(), &added);
    let added = Damage::Length { got: added.len() as u64, expected };
    assert!(matches!(verify(dir.path()), (5, Err(LogError::Corrupt { reason, .. })) if reason == added));
}

/// Opens a log that ends in a torn tail: the tail must be reported, kept, and gone afterwards.
fn opens_with_torn_tail(dir: &Path, blocks: usize, end: u64) {
    let before = log_bytes(dir);
    let dropped = before.len() as u64 - end;
    let (sound, tail) = verify(dir);
    assert_eq!((sound, tail.unwrap()), (blocks, Some(Tail { offset: end, bytes: dropped })));
    assert_eq!(log_bytes(dir), before, "verifying changes nothing");

    let (log, torn) = FileLog::open(dir).unwrap();
    let torn = torn.expect("the torn tail is reported");
    assert_eq!((torn.offset, torn.bytes), (end, dropped));
    assert_eq!(fs::read(&torn.saved_to).unwrap(), before[end as usize..], "the bytes are kept");
    assert_eq!(log_bytes(dir), before[..end as usize]);
    assert_eq!(log.tip(), Height(blocks as u64).previous());
    log.append(Height(blocks as u64), b"goes on").unwrap();
    drop(log);
    assert_eq!(FileLog::open(dir).unwrap().1, None, "the next opening finds nothing torn");
}

#[test]
fn a_tail_torn_at_any_length_is_dropped_loudly_and_kept() {
    let (dir, offsets) = small_log(false);
    let sound = log_bytes(dir.path());
    for len in offsets[0]..offsets[4] {
        let dir = tempfile::tempdir().unwrap();
        set_log_bytes(dir.path(), &sound[..len as usize]);
        let blocks = offsets.iter().rposition(|&offset| offset <= len).unwrap();
        if offsets[blocks] == len {
            assert_eq!(FileLog::open(dir.path()).unwrap().1, None, "cut between two blocks");
        } else {
            opens_with_torn_tail(dir.path(), blocks, offsets[blocks]);
        }
    }
    // Inside the file header nothing can be torn: it is written whole before the log exists.
    set_log_bytes(dir.path(), &sound[..offsets[0] as usize - 1]);
    assert!(matches!(FileLog::open(dir.path()), Err(LogError::Corrupt { reason: Damage::FileHeader, .. })));
}

#[test]
fn a_damaged_last_block_of_an_open_log_is_a_torn_tail() {
    let (dir, offsets) = small_log(false);
    let sound = log_bytes(dir.path());
    for position in offsets[3]..offsets[4] {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = sound.clone();
        bytes[position as usize] ^= 0x40;
        set_log_bytes(dir.path(), &bytes);
        opens_with_torn_tail(dir.path(), 3, offsets[3]);
    }
}

#[test]
fn zeros_and_noise_behind_the_last_block_are_a_torn_tail() {
    for tail in
        [vec![0; 1], vec![0; 23], vec![0; 24], vec![0; 70_000], b"TCFR".repeat(1_000), vec![0xff; 600_000]]
    {
        let (dir, offsets) = small_log(false);
        set_log_bytes(dir.path(), &[log_bytes(dir.path()), tail].concat());
        opens_with_torn_tail(dir.path(), 4, offsets[4]);
    }
}

#[test]
fn two_torn_tails_at_one_offset_are_both_kept() {
    let (dir, offsets) = small_log(false);
    let sound = log_bytes(dir.path());
    let mut kept = Vec::new();
    for tail in [b"one", b"two"] {
        set_log_bytes(dir.path(), &[&sound[..], tail].concat());
        let saved_to = FileLog::open(dir.path()).unwrap().1.unwrap().saved_to;
        assert!(saved_to.to_string_lossy().contains(&format!("blocks.log.torn-{}", offsets[4])));
        kept.push((saved_to, tail));
    }
    for (saved_to, tail) in kept {
        assert_eq!(fs::read(saved_to).unwrap(), tail);
    }
}

#[test]
fn a_sound_block_behind_a_bad_one_is_corruption() {
    let (dir, offsets) = small_log(false);
    let sound = log_bytes(dir.path());
    for position in offsets[0]..offsets[3] {
        let mut bytes = sound.clone();
        bytes[position as usize] ^= 0x01;
        set_log_bytes(dir.path(), &bytes);
        let block = offsets.iter().rposition(|&offset| offset <= position).unwrap();
        let error = FileLog::open(dir.path()).unwrap_err();
        let LogError::Corrupt { offset, height, .. } = error else { panic!("byte {position}: {error}") };
        assert_eq!((offset, height), (offsets[block], Some(Height(block as u64))), "byte {position}");
        assert_eq!(log_bytes(dir.path()), bytes, "nothing is taken away");
    }
}

/// A block whose payload is a log itself, or made to look like one, must be droppable when torn.
#[test]
fn a_torn_block_that_holds_frames_is_still_a_torn_tail() {
    let (dir, offsets) = small_log(false);
    let sound = log_bytes(dir.path());
    let payload = [FrameHeader::new(Height(5), b"inner").to_bytes().as_slice(), b"inner"].concat().repeat(20);
    let frame = [&FrameHeader::new(Height(4), &payload).to_bytes()[..], &payload].concat();
    let mut damaged = frame.clone();
    damaged[FRAME_HEADER_BYTES] ^= 1;
    for torn in [&frame[..FRAME_HEADER_BYTES], &frame[..100], &frame[..frame.len() - 1], &damaged] {
        let dir = tempfile::tempdir().unwrap();
        set_log_bytes(dir.path(), &[&sound[..], torn].concat());
        opens_with_torn_tail(dir.path(), 4, offsets[4]);
    }
}

#[test]
fn a_sound_block_of_the_wrong_height_is_corruption() {
    let (dir, offsets) = small_log(false);
    let stray = FrameHeader::new(Height(9), b"").to_bytes();
    set_log_bytes(dir.path(), &[&log_bytes(dir.path())[..], &stray].concat());
    let (sound, verdict) = verify(dir.path());
    let reason = Damage::HeightOutOfOrder { got: Height(9) };
    assert_eq!(sound, 4);
    assert!(
        matches!(verdict, Err(LogError::Corrupt { offset, reason: got, .. }) if got == reason && offset == offsets[4])
    );
}

#[test]
fn a_frame_is_found_across_the_pieces_of_the_search() {
    for gap in [(1 << 18) - 30, (1 << 18) - 12, 1 << 18, (1 << 19) + 7] {
        let (dir, offsets) = small_log(false);
        let next = FrameHeader::new(Height(5), b"").to_bytes();
        set_log_bytes(dir.path(), &[&log_bytes(dir.path())[..], &vec![0; gap], &next].concat());
        let (_, verdict) = verify(dir.path());
        assert!(
            matches!(verdict, Err(LogError::Corrupt { offset, .. }) if offset == offsets[4]),
            "gap {gap}"
        );
    }
}

#[test]
fn another_format_version_is_named_not_called_corrupt() {
    let (dir, _) = small_log(true);
    let mut bytes = log_bytes(dir.path());
    bytes[8] = 2;
    let crc_at = 16 + b"params".len();
    let crc = crc32c::crc32c(&bytes[..crc_at]).to_le_bytes();
    bytes[crc_at..crc_at + 4].copy_from_slice(&crc);
    set_log_bytes(dir.path(), &bytes);
    assert!(matches!(verify(dir.path()).1, Err(LogError::UnknownVersion { got: 2, expected: 1, .. })));
}

#[test]
fn damage_after_opening_is_found_on_reading() {
    let (dir, offsets) = small_log(false);
    let (log, _) = FileLog::open(dir.path()).unwrap();
    let mut bytes = log_bytes(dir.path());
    bytes[offsets[2] as usize + FRAME_HEADER_BYTES] ^= 1;
    bytes[offsets[3] as usize] ^= 1;
    set_log_bytes(dir.path(), &bytes);
    assert_eq!(log.read(offsets[0]).unwrap().payload, PAYLOADS[0]);
    let reason = |offset| match log.read(offset) {
        Err(LogError::Corrupt { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(offsets[2]), Damage::Payload);
    assert_eq!(reason(offsets[3]), Damage::FrameHeader);
    assert_eq!(reason(offsets[1] + 1), Damage::FrameHeader, "not the start of a block");
}
