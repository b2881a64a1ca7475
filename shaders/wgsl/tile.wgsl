// Prelude: what 64 × 64 rows have in common, summed word by word by a workgroup of 16 × 16 invocations.
//
// A shader that uses it declares `left_rows` and `right_rows`, both as in `rows.wgsl`, so that nothing here asks where the rows
// end.

// By word and four. They are free again once a tile is done and a barrier has passed.
var<workgroup> left_words: array<vec4<u32>, 256>;
var<workgroup> right_words: array<vec4<u32>, 256>;

// Component i of element j is the sum of row i of the invocation's left four, which is number local.y of the tile, and row j
// of its right four, number local.x. The tile begins at these fours of the two sides.
fn tile(left_four: u32, right_four: u32, words: u32, local: vec2<u32>) -> array<vec4<i32>, 4> {
    var sums = array<vec4<i32>, 4>();
    // Neighbours load neighbouring words of one four.
    let from_left = (left_four + local.y) * words + local.x;
    let from_right = (right_four + local.y) * words + local.x;
    let to = local.x * FOURS + local.y;
    for (var first = 0u; first < words; first += DEPTH) {
        workgroupBarrier();
        left_words[to] = left_rows[from_left + first];
        right_words[to] = right_rows[from_right + first];
        workgroupBarrier();
        for (var word = 0u; word < DEPTH; word++) {
            let left = left_words[word * FOURS + local.y];
            let right = right_words[word * FOURS + local.x];
            sums[0] = meet_four(sums[0], left, right.x);
            sums[1] = meet_four(sums[1], left, right.y);
            sums[2] = meet_four(sums[2], left, right.z);
            sums[3] = meet_four(sums[3], left, right.w);
        }
    }
    workgroupBarrier();
    return sums;
}
