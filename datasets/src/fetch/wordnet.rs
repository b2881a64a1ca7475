//! WordNet: one synset a line, its gloss behind a bar; a licence in indented lines before them.

use super::FetchError;
use super::error::content;

/// The glosses of some data files, in their order.
pub(super) fn glosses<'a>(files: &[&'a [u8]]) -> Result<Vec<&'a str>, FetchError> {
    let mut glosses = Vec::new();
    for file in files {
        let text =
            std::str::from_utf8(file).map_err(|_| content("a data file of synsets", 1, "UTF-8 text"))?;
        for (position, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with("  ")) {
            let gloss = line.split_once(" | ").map(|(_, gloss)| gloss.trim());
            let gloss = gloss.filter(|gloss| !gloss.is_empty());
            glosses.push(gloss.ok_or_else(|| content("a data file of synsets", position + 1, "a gloss"))?);
        }
    }
    Ok(glosses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glosses_are_what_stands_behind_the_bar() {
        let noun = b"  1 licence | text\n00001740 03 n 01 entity 0 | that which is | perceived  \n";
        assert_eq!(glosses(&[noun, b"1 | x\n"]).unwrap(), ["that which is | perceived", "x"]);
        for bad in ["00001740 03 n 01 entity", "1 | ", "\n"] {
            assert!(
                matches!(glosses(&[bad.as_bytes()]), Err(FetchError::Content { position: 1, .. })),
                "{bad}"
            );
        }
    }
}
