//! What the format promises: every cut, every flipped bit, every lost or stray write is either
//! harmless or refused, and never a shorter journal than what was synced.

use proptest::prelude::*;

use super::frame::{AREA_HEADER_BYTES, FRAME_HEADER_BYTES, IDENTIFIER_BYTES};
use super::*;
use crate::digest::Digest;
use crate::ids::{ClusterId, GroupId, ReplicaId, Slot};
use crate::protocol::SnapshotMeta;

/// Areas of one generation.
#[derive(Clone, Debug, PartialEq)]
struct Areas {
    generation: Generation,
    steps: Vec<u8>,
    identifiers: Vec<u8>,
}

/// A disk, and the writer at its end.
#[derive(Clone, Debug)]
struct TestDisk {
    identity_area: Vec<u8>,
    generations: Vec<Areas>,
    writer: Writer,
}

const fn identity() -> Identity {
    Identity {
        cluster: ClusterId(7),
        group: GroupId(3),
        replica: ReplicaId(2),
        disk: DiskId(0x1234_5678_9abc_def0),
    }
}

fn put(area: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let (start, end) = (offset as usize, offset as usize + bytes.len());
    if area.len() < end {
        area.resize(end, 0);
    }
    area[start..end].copy_from_slice(bytes);
}

impl TestDisk {
    fn format() -> Self {
        let (writer, steps) = Writer::format(identity());
        let areas = Areas { generation: Generation::FIRST, steps, identifiers: Vec::new() };
        Self { identity_area: format_identity(&identity()), generations: vec![areas], writer }
    }

    fn put_frames(&mut self, step: &Step) {
        if step.begins_generation {
            let areas =
                Areas { generation: step.generation, steps: Vec::new(), identifiers: Vec::new() };
            self.generations.push(areas);
        }
        put(&mut self.generations.last_mut().unwrap().steps, step.offset, &step.frames);
    }

    /// Writes a step whole and removes what it replaces, as a sync does.
    fn put(&mut self, step: &Step) {
        self.put_frames(step);
        let areas = self.generations.last_mut().unwrap();
        put(&mut areas.identifiers, step.identifier_offset, &step.identifier);
        self.generations.retain(|areas| areas.generation == step.generation);
    }

    fn append(&mut self, record: &str) -> Step {
        let step = self.writer.append(&record.to_string()).unwrap();
        self.put(&step);
        step
    }

    fn replace(&mut self, image: &[u8], records: &[&str]) -> Step {
        let records: Vec<_> = records.iter().map(ToString::to_string).collect();
        let step = self.writer.replace(&meta(image), image, &records).unwrap();
        self.put(&step);
        step
    }

    fn areas(&mut self) -> &mut Areas {
        self.generations.last_mut().unwrap()
    }

    fn open(&self) -> Result<Opened<String>, JournalError> {
        let generations: Vec<_> = self
            .generations
            .iter()
            .map(|areas| GenerationBytes {
                generation: areas.generation,
                steps: &areas.steps,
                identifiers: &areas.identifiers,
            })
            .collect();
        open(&identity(), &self.identity_area, &generations)
    }

    /// Carries out repairs, as a host does before it goes on.
    fn mend(&mut self, repairs: &[Repair]) {
        for repair in repairs {
            match repair {
                Repair::Identity { offset, bytes } => put(&mut self.identity_area, *offset, bytes),
                Repair::Truncate { bytes, .. } => self.areas().steps.truncate(*bytes as usize),
                Repair::Identifier { offset, bytes, .. } => {
                    put(&mut self.areas().identifiers, *offset, bytes);
                }
                Repair::Remove { generation } => {
                    self.generations.retain(|areas| areas.generation != *generation);
                }
            }
        }
    }
}

fn meta(image: &[u8]) -> SnapshotMeta {
    SnapshotMeta { slot: Slot(9), digest: Digest::of(image), bytes: image.len() as u64 }
}

fn texts(opened: &Opened<String>) -> Vec<&str> {
    opened.records.iter().map(String::as_str).collect()
}

/// Three appended records, the ends of their steps.
fn three() -> (TestDisk, Vec<usize>) {
    let mut disk = TestDisk::format();
    let steps = ["one", "two", "three"].map(|text| disk.append(text));
    (disk, steps.iter().map(|step| step.offset as usize + step.frames.len()).collect())
}

/// A replacement with two kept records, and one record after it.
fn replaced() -> TestDisk {
    let mut disk = TestDisk::format();
    disk.append("old");
    disk.replace(b"a snapshot", &["kept one", "kept two"]);
    disk.append("after");
    disk
}

#[test]
fn what_was_written_reads_back() {
    let opened = replaced().open().unwrap();
    assert_eq!(opened.snapshot, Some((meta(b"a snapshot"), b"a snapshot".to_vec())));
    assert_eq!(texts(&opened), ["kept one", "kept two", "after"]);
    assert_eq!(opened.repairs, []);
    assert_eq!(opened.writer.next(), Place(4));
}

#[test]
fn a_writer_goes_on_where_the_journal_ends() {
    let mut disk = replaced();
    for round in 0..3 {
        let opened = disk.open().unwrap();
        disk.writer = opened.writer;
        disk.append(&format!("round {round}"));
    }
    disk.writer = disk.open().unwrap().writer;
    disk.replace(b"", &[]);
    disk.append("last");
    assert_eq!(texts(&disk.open().unwrap()), ["last"]);
}

#[test]
fn a_torn_last_step_is_dropped_at_every_byte_and_the_journal_goes_on() {
    let (whole, ends) = three();
    for cut in ends[1]..ends[2] {
        let mut disk = whole.clone();
        disk.areas().steps.truncate(cut);
        disk.areas().identifiers.truncate(2 * IDENTIFIER_BYTES);
        let opened = disk.open().unwrap();
        assert_eq!(texts(&opened), ["one", "two"], "cut at {cut}");
        disk.mend(&opened.repairs);
        disk.writer = opened.writer;
        disk.append("third again");
        assert_eq!(texts(&disk.open().unwrap()), ["one", "two", "third again"]);
    }
}

#[test]
fn a_crash_between_a_step_and_its_identifier_keeps_the_step_and_mends_the_identifier() {
    let (whole, _) = three();
    for cut in 0..3 * IDENTIFIER_BYTES {
        let mut disk = whole.clone();
        disk.areas().identifiers.truncate(cut);
        let opened = disk.open().unwrap();
        assert_eq!(texts(&opened), ["one", "two", "three"], "cut at {cut}");
        disk.mend(&opened.repairs);
        assert_eq!(disk.generations, whole.generations);
        assert_eq!(disk.open().unwrap().repairs, []);
    }
}

#[test]
fn a_steps_area_cut_below_what_identifiers_prove_is_refused_at_every_byte() {
    for mut disk in [three().0, replaced()] {
        while disk.areas().steps.pop().is_some() {
            let cut = disk.areas().steps.len();
            assert!(disk.open().is_err(), "cut at {cut}");
        }
    }
}

#[test]
fn every_flipped_bit_of_a_synced_step_is_refused() {
    for whole in [three().0, replaced()] {
        for bit in 0..whole.generations[0].steps.len() * 8 {
            let mut disk = whole.clone();
            disk.areas().steps[bit / 8] ^= 1 << (bit % 8);
            let error = disk.open().unwrap_err();
            let refused = matches!(error, JournalError::Rot { .. } | JournalError::Header { .. });
            assert!(refused, "bit {bit}: {error}");
        }
    }
}

#[test]
fn every_flipped_bit_of_an_identifier_is_mended_from_its_step() {
    for whole in [three().0, replaced()] {
        let before = texts(&whole.open().unwrap()).join(",");
        for bit in 0..whole.generations[0].identifiers.len() * 8 {
            let mut disk = whole.clone();
            disk.areas().identifiers[bit / 8] ^= 1 << (bit % 8);
            let opened = disk.open().unwrap();
            assert_eq!(texts(&opened).join(","), before, "bit {bit}");
            disk.mend(&opened.repairs);
            assert_eq!(disk.generations, whole.generations, "bit {bit}");
        }
    }
}

#[test]
fn every_flipped_bit_of_an_identity_copy_is_mended_from_the_other() {
    let (whole, _) = three();
    for bit in (0..44 * 8).chain(4096 * 8..(4096 + 44) * 8) {
        let mut disk = whole.clone();
        disk.identity_area[bit / 8] ^= 1 << (bit % 8);
        let opened = disk.open().unwrap();
        assert_eq!(texts(&opened).len(), 3);
        disk.mend(&opened.repairs);
        assert_eq!(disk.identity_area, whole.identity_area, "bit {bit}");
    }
}

#[test]
fn damage_to_both_identity_copies_is_refused() {
    let (mut disk, _) = three();
    disk.identity_area[20] ^= 1;
    disk.identity_area[4096 + 30] ^= 4;
    assert_eq!(disk.open().unwrap_err(), JournalError::IdentityDamaged);
}

#[test]
fn an_empty_disk_is_no_first_start() {
    let (mut disk, _) = three();
    disk.identity_area.clear();
    disk.generations.clear();
    assert_eq!(disk.open().unwrap_err(), JournalError::Unformatted);
    disk.identity_area = vec![0; IDENTITY_AREA_BYTES];
    assert_eq!(disk.open().unwrap_err(), JournalError::Unformatted);
    disk.identity_area = format_identity(&identity());
    assert_eq!(disk.open().unwrap_err(), JournalError::NoSteps);
}

#[test]
fn a_disk_of_another_replica_group_cluster_or_format_is_refused_by_name() {
    let (disk, _) = three();
    let ours = identity();
    for other in [
        Identity { replica: ReplicaId(0), ..ours },
        Identity { group: GroupId(0), ..ours },
        Identity { cluster: ClusterId(0), ..ours },
        Identity { disk: DiskId(0), ..ours },
    ] {
        let expected = JournalError::WrongDisk { expected: ours, found: other };
        let swapped = TestDisk { identity_area: format_identity(&other), ..disk.clone() };
        assert_eq!(swapped.open().unwrap_err(), expected);
    }
}

#[test]
fn an_area_of_another_disk_or_generation_is_no_part_of_this_one() {
    let (disk, _) = three();
    let other = Identity { disk: DiskId(5), ..identity() };
    let stray = TestDisk { identity_area: format_identity(&other), ..disk.clone() };
    let areas = GenerationBytes {
        generation: Generation::FIRST,
        steps: &stray.generations[0].steps,
        identifiers: &[],
    };
    let opened = open::<String>(&other, &stray.identity_area, &[areas]);
    assert_eq!(opened.unwrap_err(), JournalError::Header { generation: 1 });
    let renamed = GenerationBytes { generation: Generation(2), ..areas };
    let opened = open::<String>(&identity(), &disk.identity_area, &[renamed]);
    assert_eq!(opened.unwrap_err(), JournalError::Header { generation: 2 });
}

#[test]
fn another_version_is_refused_by_number() {
    let (mut disk, _) = three();
    disk.identity_area[8] = 9;
    let checksum = crc32c::crc32c(&disk.identity_area[..40]);
    disk.identity_area[40..44].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(disk.open().unwrap_err(), JournalError::Version(9));
}

#[test]
fn rot_in_the_last_record_is_told_from_a_torn_tail_by_its_identifier() {
    let (mut disk, ends) = three();
    disk.areas().steps[ends[1] + FRAME_HEADER_BYTES] ^= 1;
    let rot = JournalError::Rot {
        place: Place(3),
        offset: ends[1] as u64,
        flaw: Flaw::Body,
        proof: Proof::Identifier(Place(3)),
    };
    assert_eq!(disk.open().unwrap_err(), rot);
    disk.areas().identifiers.truncate(2 * IDENTIFIER_BYTES);
    assert_eq!(texts(&disk.open().unwrap()), ["one", "two"]);
}

#[test]
fn rot_in_the_middle_is_never_truncated_away_even_without_identifiers() {
    let (mut disk, ends) = three();
    disk.areas().steps[ends[0] + 3] ^= 1;
    disk.areas().identifiers.clear();
    let rot = JournalError::Rot {
        place: Place(2),
        offset: ends[0] as u64,
        flaw: Flaw::Header,
        proof: Proof::LaterStep(Place(3)),
    };
    assert_eq!(disk.open().unwrap_err(), rot);
}

#[test]
fn a_lost_sync_with_later_writes_kept_is_a_gap() {
    let (whole, ends) = three();
    let mut disk = whole.clone();
    disk.areas().steps[ends[0]..ends[1]].fill(0);
    disk.areas().identifiers[IDENTIFIER_BYTES..2 * IDENTIFIER_BYTES].fill(0);
    let proof = Proof::Identifier(Place(3));
    let gap = JournalError::Gap { place: Place(2), offset: ends[0] as u64, proof };
    assert_eq!(disk.open().unwrap_err(), gap);
    disk.areas().identifiers.clear();
    let proof = Proof::LaterStep(Place(3));
    let gap = JournalError::Gap { place: Place(2), offset: ends[0] as u64, proof };
    assert_eq!(disk.open().unwrap_err(), gap);
}

#[test]
fn a_step_whose_identifier_was_kept_and_whose_bytes_were_not_is_a_gap() {
    let (mut disk, ends) = three();
    disk.areas().steps.truncate(ends[1]);
    let proof = Proof::Identifier(Place(3));
    let gap = JournalError::Gap { place: Place(3), offset: ends[1] as u64, proof };
    assert_eq!(disk.open().unwrap_err(), gap);
}

#[test]
fn a_sound_step_at_the_wrong_place_is_refused() {
    let mut disk = TestDisk::format();
    let steps = ["first", "other", "third"].map(|text| disk.append(text));
    let (from, to) = (&steps[0], &steps[1]);
    put(&mut disk.areas().steps, to.offset, &from.frames);
    let (expected, found, offset) = (Place(2), Place(1), to.offset);
    assert_eq!(disk.open().unwrap_err(), JournalError::Misplaced { expected, found, offset });
}

#[test]
fn a_step_that_its_identifier_contradicts_is_refused() {
    let mut disk = TestDisk::format();
    let mut earlier = disk.clone();
    earlier.append("stale");
    disk.append("fresh");
    disk.areas().steps.clone_from(&earlier.areas().steps);
    assert_eq!(disk.open().unwrap_err(), JournalError::Conflict { place: Place(1) });
}

#[test]
fn a_replacement_torn_at_any_byte_leaves_the_generation_before_it() {
    let mut whole = TestDisk::format();
    whole.append("old");
    let records = ["kept".to_string()];
    let step = whole.writer.replace(&meta(b"image"), b"image", &records).unwrap();
    for cut in 0..step.frames.len() {
        let mut disk = whole.clone();
        disk.put_frames(&step);
        disk.areas().steps.truncate(cut);
        let opened = disk.open().unwrap();
        assert_eq!(texts(&opened), ["old"], "cut at {cut}");
        assert!(opened.snapshot.is_none());
        disk.mend(&opened.repairs);
        disk.writer = opened.writer;
        disk.replace(b"image", &["kept"]);
        assert_eq!(texts(&disk.open().unwrap()), ["kept"]);
    }
    whole.put_frames(&step);
    let opened = whole.open().unwrap();
    assert_eq!(texts(&opened), ["kept"]);
    assert_eq!(opened.repairs[0], Repair::Remove { generation: Generation::FIRST });
}

#[test]
fn a_replacement_that_rots_is_never_undone() {
    let mut disk = TestDisk::format();
    disk.append("old");
    let before = disk.generations.clone();
    disk.replace(b"image", &["kept"]);
    for bit in 0..disk.areas().steps.len() * 8 {
        let mut rotten = disk.clone();
        rotten.areas().steps[bit / 8] ^= 1 << (bit % 8);
        assert!(rotten.open().is_err(), "bit {bit}, the generation before it removed");
        rotten.areas().identifiers.clear();
        assert!(rotten.open().is_err(), "bit {bit}, without its identifier");
        let mut unremoved = disk.clone();
        unremoved.areas().steps[bit / 8] ^= 1 << (bit % 8);
        unremoved.generations.splice(0..0, before.clone());
        assert!(unremoved.open().is_err(), "bit {bit}, the generation before it still there");
    }
}

#[test]
fn lengths_at_the_limits() {
    let mut disk = TestDisk::format();
    // The length of a string takes four bytes at this size.
    for (length, fits) in
        [(RECORD_BYTES_MAX - 5, true), (RECORD_BYTES_MAX - 4, true), (RECORD_BYTES_MAX - 3, false)]
    {
        let written = disk.writer.clone().append(&"x".repeat(length));
        assert_eq!(written.is_ok(), fits, "record of {length}");
        if let Ok(step) = written {
            let mut disk = disk.clone();
            disk.put(&step);
            assert_eq!(disk.open().unwrap().records[0].len(), length);
        }
    }
    for length in [CHUNK_BYTES_MAX - 1, CHUNK_BYTES_MAX, CHUNK_BYTES_MAX + 1] {
        let image = vec![7; length];
        disk.replace(&image, &["kept"]);
        let opened = disk.open().unwrap();
        assert_eq!(opened.snapshot.unwrap().1, image);
        assert_eq!(opened.records, ["kept"]);
    }
    let records = vec![(); PARTS_MAX as usize];
    for (count, fits) in [(-2, true), (-1, true), (0, false)] {
        let records = &records[..(i64::from(PARTS_MAX) + count) as usize];
        let replaced = disk.writer.clone().replace(&meta(b""), b"", records);
        assert_eq!(replaced.is_ok(), fits, "{} records", records.len());
    }
}

#[test]
fn huge_declared_lengths_allocate_nothing() {
    let mut disk = TestDisk::format();
    let step = disk.append("record");
    let sealer = super::frame::Sealer::new(&identity(), Generation::FIRST);
    for (at, value) in [
        (24, u32::MAX),
        (24, RECORD_BYTES_MAX as u32),
        (20, u32::MAX),
        (20, PARTS_MAX),
        (16, u32::MAX),
    ] {
        let mut disk = disk.clone();
        let header = &mut disk.areas().steps[AREA_HEADER_BYTES..][..FRAME_HEADER_BYTES];
        header[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let checksum = sealer.checksum(&header[..32]);
        header[32..36].copy_from_slice(&checksum.to_le_bytes());
        assert!(matches!(disk.open(), Err(JournalError::Rot { .. })), "{value} at {at}");
    }
    assert_eq!(step.place, Place::FIRST);
}

#[test]
fn a_full_disk_refuses_the_step_and_takes_it_when_there_is_space() {
    let mut disk = TestDisk::format();
    disk.append("fits");
    let needed = (FRAME_HEADER_BYTES + "more".len() + 1 + IDENTIFIER_BYTES) as u64;
    for (left, fits) in [(needed - 1, false), (needed, true), (needed + 1, true)] {
        let mut disk = disk.clone();
        disk.writer.limit(Some(disk.writer.bytes() + left));
        let refused = disk.writer.append(&"more".to_string());
        assert_eq!(refused.is_ok(), fits);
        if let Err(error) = refused {
            assert_eq!(error, JournalError::Full { needed, left });
            disk.writer.limit(None);
            disk.append("more");
            assert_eq!(texts(&disk.open().unwrap()), ["fits", "more"]);
        }
    }
    disk.writer.limit(Some(disk.writer.bytes() + 10));
    let image = [1; 100];
    let refused = disk.writer.replace::<String>(&meta(&image), &image, &[]);
    assert!(matches!(refused, Err(JournalError::Full { left: 10, .. })));
    assert_eq!(texts(&disk.open().unwrap()), ["fits"]);
}

#[test]
fn a_record_of_another_type_is_named_not_guessed() {
    let mut disk = TestDisk::format();
    let step = disk.writer.append(&(300u64, 1u8)).unwrap();
    disk.put(&step);
    let error = disk.open().unwrap_err();
    assert!(matches!(error, JournalError::Record { place: Place::FIRST, .. }), "{error}");
}

#[test]
fn every_error_says_who_acts() {
    let (disk, _) = three();
    let swapped = TestDisk { identity_area: vec![1; IDENTITY_AREA_BYTES], ..disk };
    let text = swapped.open().unwrap_err().to_string();
    assert!(text.contains("replace the replica"), "{text}");
}

/// A step of a random journal: a record, or a replacement with what it keeps.
type Drawn = (String, Option<(Vec<u8>, Vec<String>)>);

proptest! {
    #[test]
    fn any_journal_reads_back_and_any_cut_keeps_a_prefix(
        drawn in proptest::collection::vec(any::<Drawn>(), 1..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut disk = TestDisk::format();
        let mut expected = Vec::new();
        let mut image = None;
        for (text, replacement) in &drawn {
            if let Some((bytes, records)) = replacement {
                let kept: Vec<_> = records.iter().map(String::as_str).collect();
                disk.replace(bytes, &kept);
                expected.clone_from(records);
                image = Some(bytes.clone());
            }
            disk.append(text);
            expected.push(text.clone());
        }
        let opened = disk.open().unwrap();
        prop_assert_eq!(&opened.records, &expected);
        prop_assert_eq!(opened.snapshot.map(|(_, bytes)| bytes), image);
        prop_assert_eq!(opened.writer.bytes(), disk.writer.bytes());

        // A crash in the last sync: the last record's frames are cut, its identifier is not there.
        let areas = disk.areas();
        let last = areas.identifiers.len() - IDENTIFIER_BYTES;
        let offset = u64::from_le_bytes(areas.identifiers[last + 8..last + 16].try_into().unwrap());
        areas.identifiers.truncate(last);
        let keep = offset as usize + cut.index(areas.steps.len() - offset as usize);
        areas.steps.truncate(keep);
        let opened = disk.open().unwrap();
        prop_assert_eq!(&opened.records[..], &expected[..expected.len() - 1]);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_are_never_a_journal(
        steps in proptest::collection::vec(any::<u8>(), 0..200),
        identifiers in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let areas = GenerationBytes {
            generation: Generation::FIRST,
            steps: &steps,
            identifiers: &identifiers,
        };
        let opened = open::<String>(&identity(), &format_identity(&identity()), &[areas]);
        prop_assert!(opened.is_err());
    }
}
