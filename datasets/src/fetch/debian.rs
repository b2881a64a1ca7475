//! Dependency sets: which other packages a Debian package depends on or recommends.

use std::collections::BTreeSet;

use tensor_kernels::SparseBatch;

use super::FetchError;

/// Fields that name packages a package comes with.
const FIELDS: [&str; 3] = ["Pre-Depends", "Depends", "Recommends"];
/// Fewest names of a row: smaller sets say little, and many of them are equal.
const LEAST_NAMES: usize = 3;

/// A row a package with at least three names, in the order of the lists; a component a name, in the order
/// of the alphabet; every value is 1. Alternatives count each, versions not at all.
pub(super) fn rows(lists: &[u8]) -> Result<SparseBatch<'static>, FetchError> {
    let lists = String::from_utf8_lossy(lists);
    let sets: Vec<BTreeSet<&str>> =
        lists.split("\n\n").map(names).filter(|set| set.len() >= LEAST_NAMES).collect();
    let every: Vec<&str> = sets.iter().flatten().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let (mut indptr, mut indices) = (vec![0], Vec::new());
    for set in &sets {
        // Each name is in `every`, and both are sorted. There are fewer names than bytes, far below 2^32.
        indices.extend(set.iter().filter_map(|name| Some(every.binary_search(name).ok()? as u32)));
        indptr.push(indices.len());
    }
    let values = vec![1.0; indices.len()];
    Ok(SparseBatch::new(every.len() as u32, indptr, indices, values)?)
}

/// The names in one stanza.
fn names(stanza: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    let mut counts = false;
    for line in stanza.lines() {
        // A field goes on in lines that begin with a space.
        let value = match line.split_once(':') {
            _ if line.starts_with(' ') => line,
            Some((field, value)) => {
                counts = FIELDS.contains(&field);
                value
            }
            None => continue,
        };
        if counts {
            let name = |entry: &'_ str| entry.find([' ', '(', ':', '[', '<']).unwrap_or(entry.len());
            let entries = value.split([',', '|']).map(str::trim).map(|entry| &entry[..name(entry)]);
            names.extend(entries.filter(|name| !name.is_empty()));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTS: &str = "\
Package: one
Depends: libc6 (>= 2.34), awk | mawk:any,
 zlib1g [amd64]
Description: Depends: on nothing

Package: two
Pre-Depends: dpkg
Depends: awk, awk (>= 1)

Package: three
Pre-Depends: dpkg
Depends: mawk
Recommends: awk
Suggests: zoo
";

    #[test]
    fn stanzas_become_sets_of_names() {
        let rows = rows(LISTS.as_bytes()).unwrap();
        // awk dpkg libc6 mawk zlib1g
        let expected = SparseBatch::new(5, vec![0, 4, 7], vec![0, 2, 3, 4, 0, 1, 3], vec![1.0; 7]);
        assert_eq!(rows, expected.unwrap());
        assert_eq!(super::rows(b"\xff: \n\n\n:\n ,").unwrap().rows(), 0);
    }
}
