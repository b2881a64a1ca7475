// Prelude: rows in fours: word w of rows 4p .. 4p + 3 is the vector at p · words + w. The number of words is a multiple of 16, and
// rows of zeros fill up the last tile.
//
// A shader that uses it declares `meet`, what two words add to a sum.

// What is known of a row besides its words.
struct Row {
    value: i32,
    // What the row's sums are multiplied by before they are added to the checksums.
    weights: array<u32, 2>,
}

// Rows on a side of a tile, and fours of them.
const SIDE = 64u;
const FOURS = 16u;
// Words of each row that are in shared memory at a time.
const DEPTH = 16u;

fn meet_four(sums: vec4<i32>, left: vec4<u32>, right: u32) -> vec4<i32> {
    return vec4(
        meet(sums.x, left.x, right),
        meet(sums.y, left.y, right),
        meet(sums.z, left.z, right),
        meet(sums.w, left.w, right),
    );
}
