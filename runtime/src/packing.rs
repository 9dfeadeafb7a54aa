//! How batches are packed where they are compressed: which codec, with which dictionary, on how
//! many threads.
//!
//! What always holds: every replica opens what any of them packed, because the process holds the
//! dictionary before the first one starts; a packing that this build cannot carry out is refused
//! before anything runs.
//! Left to others: when to compress ([`CompressionPolicy`]).

use std::sync::Arc;

use quorate_mq::compress::{self, CompressionPolicy, Compressor, Dictionary, DictionaryError};

/// The ways to pack batches. The default is lz4 without a dictionary, on the proposer's thread.
///
/// ```
/// use std::sync::Arc;
/// use quorate_mq::compress::{CompressionPolicy, Dictionary};
/// use quorate_runtime::{ClusterConfig, Direct, Packing};
///
/// let words = Dictionary::new(br#"{"account":"","operation":"transfer"}"#)?;
/// let config = ClusterConfig::<Direct> {
///     compression: CompressionPolicy::default(),
///     packing: Packing { dictionary: Some(Arc::new(words)), ..Packing::default() },
///     ..ClusterConfig::default()
/// };
/// config.validate()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packing {
    /// What commands have in common, for batches of at most
    /// [`DICTIONARY_RAW_BYTES_MAX`](compress::DICTIONARY_RAW_BYTES_MAX) bytes: it pays where
    /// batches are small. The process holds it for good ([`compress::hold`]).
    pub dictionary: Option<Arc<Dictionary>>,
    /// zstd at this level for batches that no dictionary serves, instead of lz4: pays on links
    /// under some 1.3 Gbit/s. Needs the feature `zstd`.
    pub zstd_level: Option<i32>,
    /// Batches of at least so many bytes are compressed as blocks on the threads of a rayon pool
    /// (see `quorate_mq::compress::PARALLEL_BYTES_MIN`); opened on one thread. Needs the
    /// feature `rayon`, and batches larger than the default to have anything to do.
    pub parallel_bytes_min: Option<usize>,
}

/// Why a packing cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackingError {
    /// The build lacks a feature.
    #[error("{setting} needs the feature `{feature}` of quorate-runtime, which this build lacks")]
    NotBuilt {
        /// The setting that asks for it.
        setting: &'static str,
        /// The feature to enable.
        feature: &'static str,
    },
    /// The level is out of its range.
    #[error("packing.zstd_level: {0}")]
    Level(String),
    /// The process holds as many dictionaries as it can.
    #[error("packing.dictionary: {0}")]
    Dictionary(#[from] DictionaryError),
}

impl Packing {
    /// Lets the whole process open what will be packed.
    pub(crate) fn hold(&self) -> Result<(), PackingError> {
        match &self.dictionary {
            Some(dictionary) => Ok(compress::hold(dictionary)?),
            None => Ok(()),
        }
    }

    /// A compressor for one replica; `None` where nothing is compressed.
    pub(crate) fn compressor(
        &self,
        policy: CompressionPolicy,
    ) -> Result<Option<Compressor>, PackingError> {
        let mut compressor = Compressor::new(policy);
        if let Some(dictionary) = &self.dictionary {
            compressor = compressor.with_dictionary(dictionary.clone());
        }
        if let Some(level) = self.zstd_level {
            compressor = with_zstd(compressor, level)?;
        }
        if let Some(bytes_min) = self.parallel_bytes_min {
            compressor = with_parallel(compressor, bytes_min)?;
        }
        Ok((policy != CompressionPolicy::Off).then_some(compressor))
    }
}

#[cfg(feature = "zstd")]
fn with_zstd(compressor: Compressor, level: i32) -> Result<Compressor, PackingError> {
    compressor.with_zstd(level).map_err(|error| PackingError::Level(error.to_string()))
}

#[cfg(not(feature = "zstd"))]
fn with_zstd(_: Compressor, _: i32) -> Result<Compressor, PackingError> {
    Err(PackingError::NotBuilt { setting: "packing.zstd_level", feature: "zstd" })
}

#[cfg(feature = "rayon")]
#[expect(clippy::unnecessary_wraps, reason = "a build without the feature refuses")]
fn with_parallel(compressor: Compressor, bytes_min: usize) -> Result<Compressor, PackingError> {
    Ok(compressor.with_parallel(bytes_min))
}

#[cfg(not(feature = "rayon"))]
fn with_parallel(_: Compressor, _: usize) -> Result<Compressor, PackingError> {
    Err(PackingError::NotBuilt { setting: "packing.parallel_bytes_min", feature: "rayon" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_compressed_where_the_policy_says_so() {
        let packing = Packing::default();
        assert!(packing.compressor(CompressionPolicy::Off).unwrap().is_none());
        assert!(packing.compressor(CompressionPolicy::default()).unwrap().is_some());
    }

    #[test]
    fn what_this_build_lacks_is_refused_by_name_even_while_compression_is_off() {
        let zstd = Packing { zstd_level: Some(1), ..Packing::default() };
        let parallel = Packing { parallel_bytes_min: Some(1), ..Packing::default() };
        for (packing, feature, built) in
            [(zstd, "zstd", cfg!(feature = "zstd")), (parallel, "rayon", cfg!(feature = "rayon"))]
        {
            let refused = packing.compressor(CompressionPolicy::Off).err();
            assert_eq!(refused.is_none(), built, "{refused:?}");
            assert!(refused.is_none_or(|error| error.to_string().contains(feature)));
        }
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn a_level_out_of_range_is_refused() {
        let packing = Packing { zstd_level: Some(99), ..Packing::default() };
        let error = packing.compressor(CompressionPolicy::Always).unwrap_err();
        assert!(matches!(error, PackingError::Level(_)), "{error}");
    }
}
