//! What the binary says, word for word: each file of `cmd/` is a session with its expected answers.
//!
//! `TRYCMD=overwrite cargo test -p tensor-node --test cli` writes the present answers into the files.

#[test]
fn sessions() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}
