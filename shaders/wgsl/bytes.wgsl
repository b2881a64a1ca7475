// Prelude: rows of signed bytes, four to a word. Their products are exact: a sum stays below 2^31 up to 131,071 bytes a row.

fn meet(sum: i32, left: u32, right: u32) -> i32 {
    return sum + dot4I8Packed(left, right);
}
