//! The numbers in the workspace's own `README.md`: a block between two markers, made from the run
//! that `results/` publishes.
//!
//! What always holds: nothing outside of the markers changes, and a file without them is left alone.

/// The line before the block.
pub const BEGIN: &str =
    "<!-- numbers: written by `cargo compare`, checked by `cargo compare --verify` -->";
/// The line behind it.
pub const END: &str = "<!-- end of numbers -->";

/// `readme` with `block` between its markers; `None` without both of them.
#[must_use]
pub fn spliced(readme: &str, block: &str) -> Option<String> {
    let (before, behind) = readme.split_once(BEGIN)?;
    let (_, behind) = behind.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{}\n{END}{behind}", block.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_markers_changes() {
        let readme = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let fresh = spliced(&readme, "new\n").unwrap();
        assert_eq!(fresh, format!("a\n{BEGIN}\nnew\n{END}\nb\n"));
        assert_eq!(spliced(&fresh, "new").as_deref(), Some(&*fresh));
    }

    #[test]
    fn a_file_without_markers_is_left_alone() {
        assert_eq!(spliced("a\n", "new"), None);
        assert_eq!(spliced(&format!("a\n{END}\n{BEGIN}"), "new"), None);
    }
}
