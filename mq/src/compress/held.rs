//! Dictionaries that every receiver of this process holds.
//!
//! Batches are opened by pure values deep inside protocols and executors, which have no place to
//! carry a dictionary to. What all receivers of a process should hold is therefore said once, here,
//! and found by its id wherever a frame is opened.
//!
//! What always holds: a dictionary that is held stays held, because journals may have frames that
//! need it; holding one again changes nothing; reading takes no lock.
//! Left to others: saying the same in every process before the first frame is made.

use std::sync::{Arc, OnceLock};

use super::{DICTIONARIES_MAX, Dictionary, DictionaryError};

/// A place for each dictionary, filled from the first one on.
#[derive(Debug, Default)]
pub(super) struct Held([OnceLock<Arc<Dictionary>>; DICTIONARIES_MAX]);

static HELD: Held = Held::new();

/// Lets every [`Decompressor`](super::Decompressor) of this process, and the free functions, open
/// frames that were made with `dictionary`, from now on and for good.
///
/// ```
/// use std::sync::Arc;
/// use quorate_mq::compress::{self, CompressionPolicy, Compressor, Dictionary};
///
/// let dictionary = Arc::new(Dictionary::new(br#"{"account":"","operation":"transfer"}"#)?);
/// compress::hold(&dictionary)?;
/// let message = br#"{"account":"1042","operation":"transfer","amount":7}"#;
/// let mut frame = Vec::new();
/// let mut compressor = Compressor::new(CompressionPolicy::Always).with_dictionary(dictionary);
/// compressor.compress_into(message, &mut frame);
/// assert_eq!(compress::open(&frame, 1024, &mut Vec::new()), Ok(&message[..]));
/// # Ok::<(), compress::DictionaryError>(())
/// ```
///
/// # Errors
/// [`DictionaryError::TooMany`] beyond [`DICTIONARIES_MAX`] different ones.
pub fn hold(dictionary: &Arc<Dictionary>) -> Result<(), DictionaryError> {
    HELD.insert(dictionary)
}

/// The dictionary of that id, if this process holds it.
pub(super) fn held(id: u32) -> Option<&'static Dictionary> {
    HELD.find(id)
}

impl Held {
    const fn new() -> Self {
        Self([const { OnceLock::new() }; DICTIONARIES_MAX])
    }

    fn insert(&self, dictionary: &Arc<Dictionary>) -> Result<(), DictionaryError> {
        let takes = |place: &OnceLock<Arc<Dictionary>>| {
            **place.get_or_init(|| dictionary.clone()) == **dictionary
        };
        if self.0.iter().any(takes) { Ok(()) } else { Err(DictionaryError::TooMany) }
    }

    fn find(&self, id: u32) -> Option<&Dictionary> {
        let held = self.0.iter().map_while(OnceLock::get);
        held.map(|dictionary| &**dictionary).find(|dictionary| dictionary.id() == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dictionary(text: &str) -> Arc<Dictionary> {
        Arc::new(Dictionary::new(text.as_bytes()).unwrap())
    }

    #[test]
    fn a_dictionary_is_held_once_and_found_by_its_id() {
        let held = Held::new();
        let (one, other) = (dictionary("the first dictionary"), dictionary("the other dictionary"));
        held.insert(&one).unwrap();
        held.insert(&one).unwrap();
        assert_eq!(held.find(one.id()), Some(&*one));
        assert_eq!(held.find(other.id()), None);
        held.insert(&other).unwrap();
        assert_eq!(held.find(other.id()), Some(&*other));
    }

    #[test]
    fn one_dictionary_too_many_is_refused_and_those_held_stay() {
        let held = Held::new();
        let all: Vec<_> =
            (0..=DICTIONARIES_MAX).map(|n| dictionary(&format!("dictionary number {n}"))).collect();
        for dictionary in &all[..DICTIONARIES_MAX] {
            held.insert(dictionary).unwrap();
        }
        assert_eq!(held.insert(&all[DICTIONARIES_MAX]), Err(DictionaryError::TooMany));
        assert!(all[..DICTIONARIES_MAX].iter().all(|one| held.find(one.id()) == Some(&**one)));
    }
}
