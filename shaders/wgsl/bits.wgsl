// Prelude: rows of bits, 32 to a word, and how many two of them share.

fn meet(sum: i32, left: u32, right: u32) -> i32 {
    return sum + i32(countOneBits(left & right));
}
