//! WordLlama: a text is the mean of the static vectors of its tokens.
//!
//! The tokens are those of the published tokenizer: byte-pair encoding over the whole text, spaces marked as
//! `▁`. Seventy lines do it exactly for the one tokenizer that is needed here; the general library would
//! bring forty crates.

use std::collections::HashMap;

use half::f16;
use serde::Deserialize;
use tensor_kernels::{AlignedBuf, DenseRows};

use super::FetchError;
use super::error::content;

/// A tokenizer and its table of vectors.
pub(super) struct WordLlama<'a> {
    vocabulary: HashMap<String, u32>,
    /// Which two tokens become which one, and how early.
    merges: HashMap<(u32, u32), Merge>,
    /// `vocabulary × dim` half-precision numbers, little-endian.
    table: &'a [[u8; 2]],
    dim: usize,
}

#[derive(Clone, Copy)]
struct Merge {
    rank: usize,
    token: u32,
}

#[derive(Deserialize)]
struct Tokenizer {
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    vocab: HashMap<String, u32>,
    merges: Vec<String>,
}

/// The only entry in the header of the table.
#[derive(Deserialize)]
struct Header {
    #[serde(rename = "embedding.weight")]
    table: Tensor,
}

#[derive(Deserialize)]
struct Tensor {
    dtype: String,
    shape: [usize; 2],
    data_offsets: [usize; 2],
}

impl<'a> WordLlama<'a> {
    /// From `tokenizer.json` and a `.safetensors` with one tensor: eight bytes of length, a JSON header of
    /// that length, the numbers.
    pub(super) fn new(tokenizer: &[u8], safetensors: &'a [u8]) -> Result<Self, FetchError> {
        let bad = |expected| content("the table of token vectors", 1, expected);
        let header = safetensors
            .split_first_chunk()
            .and_then(|(len, rest)| rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?));
        let (header, numbers) = header.ok_or_else(|| bad("a header as long as declared"))?;
        let header: Header = serde_json::from_slice(header).map_err(|_| bad("one table in the header"))?;
        let Tensor { dtype, shape: [tokens, dim], data_offsets: [start, end] } = header.table;
        let (table, _) = numbers.get(start..end).unwrap_or_default().as_chunks();
        if dtype != "F16" || dim == 0 || tokens.checked_mul(dim) != Some(table.len()) {
            return Err(bad("half-precision numbers, as many as declared"));
        }

        let bad = |position, expected| content("the tokenizer", position, expected);
        let Tokenizer { model } =
            serde_json::from_slice(tokenizer).map_err(|_| bad(1, "a vocabulary and merges"))?;
        if model.vocab.values().any(|&token| token as usize >= tokens) {
            return Err(bad(1, "tokens that the table has"));
        }
        let mut merges = HashMap::with_capacity(model.merges.len());
        for (rank, pair) in model.merges.iter().enumerate() {
            let merge = pair.split_once(' ').and_then(|(left, right)| {
                let token = |text: &str| model.vocab.get(text).copied();
                Some(((token(left)?, token(right)?), token(&format!("{left}{right}"))?))
            });
            let (pair, token) = merge.ok_or_else(|| bad(rank + 1, "two tokens that make a third"))?;
            merges.entry(pair).or_insert(Merge { rank, token });
        }
        Ok(Self { vocabulary: model.vocab, merges, table, dim })
    }

    /// A row a text. The mean is taken in f64 over the tokens in order and rounded to f32 once.
    pub(super) fn embed_all(&self, texts: &[&str]) -> Result<DenseRows, FetchError> {
        let mut values = AlignedBuf::zeroed(texts.len() * self.dim);
        for (text, row) in texts.iter().zip(values.chunks_exact_mut(self.dim)) {
            let tokens = self.tokens(text);
            let mut sums = vec![0.0_f64; self.dim];
            for &token in &tokens {
                let start = token as usize * self.dim;
                let vector = &self.table[start..start + self.dim];
                sums.iter_mut().zip(vector).for_each(|(sum, &n)| *sum += f64::from(f16::from_le_bytes(n)));
            }
            let count = tokens.len().max(1) as f64;
            row.iter_mut().zip(&sums).for_each(|(value, sum)| *value = (sum / count) as f32);
        }
        Ok(DenseRows::new(values, texts.len(), self.dim)?)
    }

    /// Begins with one token a character and merges, again and again, the leftmost of the pairs that come
    /// earliest in the list.
    fn tokens(&self, text: &str) -> Vec<u32> {
        let mut tokens = Vec::new();
        for c in std::iter::once(' ').chain(text.chars()) {
            self.push(&mut tokens, if c == ' ' { '▁' } else { c });
        }
        let merge = |left: u32, right: u32| self.merges.get(&(left, right)).copied();
        // `next[i]` is what becomes of tokens i and i + 1.
        let mut next: Vec<Option<Merge>> = tokens.windows(2).map(|pair| merge(pair[0], pair[1])).collect();
        let earliest = |next: &[Option<Merge>]| {
            let found = next.iter().enumerate().filter_map(|(at, merge)| Some((at, (*merge)?)));
            found.min_by_key(|&(at, merge)| (merge.rank, at))
        };
        while let Some((at, Merge { token, .. })) = earliest(&next) {
            tokens[at] = token;
            tokens.remove(at + 1);
            next.remove(at);
            if let Some(before) = at.checked_sub(1) {
                next[before] = merge(tokens[before], token);
            }
            if let Some(&after) = tokens.get(at + 1) {
                next[at] = merge(token, after);
            }
        }
        tokens
    }

    /// A character's token; of one that has none, those of its bytes.
    fn push(&self, tokens: &mut Vec<u32>, c: char) {
        let mut buffer = [0; 4];
        let text: &str = c.encode_utf8(&mut buffer);
        match self.vocabulary.get(text) {
            Some(&token) => tokens.push(token),
            None => {
                tokens.extend(text.bytes().filter_map(|byte| self.vocabulary.get(&format!("<0x{byte:02X}>"))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens 0..8, of one component each, whose vectors are their numbers.
    fn tables() -> (String, Vec<u8>) {
        let tokenizer = r#"{"model": {"vocab": {"▁": 0, "a": 1, "b": 2, "ab": 3, "▁a": 4, "▁ab": 5, "<0xC3>": 6,
            "<0xA9>": 7}, "merges": ["a b", "▁ a", "▁ ab"]}}"#;
        let header = r#"{"embedding.weight":{"dtype":"F16","shape":[8,1],"data_offsets":[0,16]}}"#;
        let numbers = (0..8_u8).flat_map(|n| f16::from_f32(n.into()).to_le_bytes()).collect();
        (
            tokenizer.into(),
            [
                &(header.len() as u64).to_le_bytes(),
                header.as_bytes(),
                &*Vec::<u8>::from_iter::<Vec<u8>>(numbers),
            ]
            .concat(),
        )
    }

    #[test]
    fn earlier_merges_go_first_and_unknown_characters_by_bytes() {
        let (tokenizer, table) = tables();
        let model = WordLlama::new(tokenizer.as_bytes(), &table).unwrap();
        // "▁ab": a b comes before ▁ a. "▁aa": no ▁aa. "▁é": two bytes.
        assert_eq!(
            ["ab", "aa", "ba", "é", ""].map(|text| model.tokens(text)),
            [vec![5], vec![4, 1], vec![0, 2, 1], vec![0, 6, 7], vec![0]]
        );
        let rows = model.embed_all(&["ab", "aa", "é"]).unwrap();
        assert_eq!(rows.view().iter().flatten().copied().collect::<Vec<_>>(), [5.0, 2.5, 13.0 / 3.0]);
    }

    #[test]
    fn tables_that_are_cut_or_do_not_fit_are_refused() {
        let (tokenizer, table) = tables();
        for len in 0..table.len() {
            assert!(WordLlama::new(tokenizer.as_bytes(), &table[..len]).is_err(), "{len}");
        }
        for (from, to) in [("\"a b\"", "\"a x\""), (": 7", ": 8"), ("model", "other")] {
            assert!(WordLlama::new(tokenizer.replace(from, to).as_bytes(), &table).is_err(), "{from}");
        }
    }
}
