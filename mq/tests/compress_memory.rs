//! What compression takes from the allocator: nothing in the steady state, and for hostile frames
//! never more than the caller's limit. Each call on the testing thread is counted; zstd's contexts
//! are counted too, because they go through the same allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use quorate_mq::compress::{
    CompressionPolicy, Compressor, Decompressor, Dictionary, FRAME_HEADER_BYTES, FRAME_VERSION,
};

thread_local! {
    /// Calls to the allocator, and bytes asked for, on this thread.
    static CALLS: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(bytes: usize) {
    // A thread that ends may allocate after its counters are gone.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
    let _ = BYTES.try_with(|sum| sum.set(sum.get() + bytes));
}

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(old, layout, bytes) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(old, layout) }
    }
}

/// Calls and bytes that `act` takes on this thread.
fn taken(act: impl FnOnce()) -> (usize, usize) {
    let before = (CALLS.get(), BYTES.get());
    act();
    (CALLS.get() - before.0, BYTES.get() - before.1)
}

/// Deterministic bytes of few values, which shrink, or of all, which do not.
fn input(bytes: usize, seed: u64, values: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % values) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

fn dictionary() -> Arc<Dictionary> {
    Arc::new(Dictionary::new(&input(2_000, 5, 3)).expect("2,000 bytes are allowed"))
}

/// Every kind of compressor that this build has, by name.
fn compressors() -> Vec<(&'static str, Compressor)> {
    let always = || Compressor::new(CompressionPolicy::Always);
    vec![
        ("off", Compressor::new(CompressionPolicy::Off)),
        ("adaptive", Compressor::new(CompressionPolicy::default())),
        ("lz4", always()),
        ("dictionary", always().with_dictionary(dictionary())),
        #[cfg(feature = "zstd")]
        ("zstd", always().with_zstd(1).expect("a level in range")),
    ]
}

fn decompressor() -> Decompressor {
    Decompressor::new().with_dictionary(dictionary()).expect("only one")
}

#[test]
fn the_steady_state_allocates_nothing() {
    for (name, mut compressor) in compressors() {
        // zstd exchanges its context when 128 inputs in a row needed less than a third of it.
        let sizes: &[usize] = match name {
            "zstd" => &[200_000, 250_000, 300_000],
            _ => &[0, 1, 60, 500, 4_096, 4_097, 20_000, 70_000, 300_000],
        };
        let inputs: Vec<_> =
            (sizes.iter()).flat_map(|bytes| [input(*bytes, 1, 3), input(*bytes, 2, 256)]).collect();
        let mut decompressor = decompressor();
        let (mut frame, mut opened, mut scratch) = (Vec::new(), Vec::new(), Vec::new());
        let mut round = || {
            for input in &inputs {
                frame.clear();
                compressor.compress_into(input, &mut frame);
                opened.clear();
                decompressor.decompress_into(&frame, input.len(), &mut opened).unwrap();
                assert!(opened == *input);
                assert!(decompressor.open(&frame, input.len(), &mut scratch).unwrap() == input);
            }
        };
        let (warming, _) = taken(&mut round);
        // The adaptive policy skips some inputs at first; a few rounds try all of them.
        (0..70).for_each(|_| round());
        assert!(warming > 0 || name == "off", "the counter counts");
        assert_eq!(taken(|| (0..10).for_each(|_| round())), (0, 0), "{name}");
    }
}

#[test]
fn opening_small_frames_without_a_decompressor_allocates_only_the_output() {
    for (name, mut compressor) in compressors().into_iter().filter(|(name, _)| *name != "zstd") {
        let (text, mut frame) = (input(20_000, 3, 3), Vec::new());
        compressor.compress_into(&text, &mut frame);
        let mut opened = Vec::new();
        let (calls, bytes) = taken(|| {
            quorate_mq::compress::decompress_into(&frame, 20_000, &mut opened).unwrap();
        });
        assert_eq!((calls, bytes), (1, 20_000), "{name}");
    }
}

/// A frame whose checksum is right, whatever its body.
fn forged(codec: u8, raw_bytes: u32, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![FRAME_VERSION, codec];
    frame.extend_from_slice(&raw_bytes.to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&frame), body);
    frame.extend_from_slice(&checksum.to_le_bytes());
    frame.extend_from_slice(body);
    assert_eq!(frame.len(), FRAME_HEADER_BYTES + body.len());
    frame
}

#[test]
fn hostile_frames_never_take_more_than_the_limit() {
    const LIMIT: usize = 10_000;
    let mut decompressor = decompressor();
    let (mut out, mut scratch) = (Vec::new(), Vec::new());
    // zstd's context, once: about 100 KiB, whatever the frames say.
    let _ = decompressor.decompress_into(&forged(4, 4, &[0; 8]), LIMIT, &mut out);
    out = Vec::new();
    for round in 0..4_000u64 {
        let body = input(round as usize % 400, round + 9, 1 + round % 256);
        let declared = match round % 4 {
            0 => input(4, round, 256).iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)),
            1 => body.len() as u32,
            2 => LIMIT as u32 + 1,
            _ => (round * 7) as u32 % LIMIT as u32,
        };
        for codec in 0..8 {
            let frame = forged(codec, declared, &body);
            let (_, bytes) = taken(|| {
                let _ = decompressor.decompress_into(&frame, LIMIT, &mut out);
            });
            assert!(bytes <= LIMIT, "codec {codec}, round {round}: {bytes} bytes");
            let (_, bytes) = taken(|| {
                let _ = decompressor.open(&frame, LIMIT, &mut scratch);
            });
            assert!(bytes <= LIMIT, "codec {codec}, round {round}: {bytes} bytes");
            assert!(out.len() <= LIMIT && scratch.len() <= LIMIT);
            out = Vec::new();
        }
    }
    assert!(scratch.capacity() <= LIMIT, "over all frames");
}

/// Rayon puts work from outside its pool into a queue that grows by blocks of some hundred bytes;
/// compression itself takes nothing.
#[cfg(feature = "rayon")]
#[test]
fn blocks_on_several_threads_take_almost_nothing_in_the_steady_state() {
    let text = input(3_000_000, 4, 3);
    let policy = CompressionPolicy::Always;
    let mut compressor = Compressor::new(policy).with_parallel(0);
    let mut decompressor = Decompressor::new().with_parallel(0);
    let (mut frame, mut opened) = (Vec::new(), Vec::new());
    let mut round = || {
        frame.clear();
        compressor.compress_into(&text, &mut frame);
        opened.clear();
        decompressor.decompress_into(&frame, text.len(), &mut opened).unwrap();
        assert!(opened == text);
    };
    (0..3).for_each(|_| round());
    let (_, bytes) = taken(|| (0..10).for_each(|_| round()));
    assert!(bytes < 20_000, "{bytes} bytes for 30 MB");
}
