// The pairs of bit rows whose Jaccard index reaches a threshold: shared · 10⁴ ≥ τ · union, in integers.

struct Job {
    // Words of a row, a multiple of 16: 2^16 bits at most, so that nothing below leaves 32 bits.
    words: u32,
    // Rows without padding.
    left_count: u32,
    right_count: u32,
    // τ in ten-thousandths, 1 to 10,000.
    at_least: u32,
    // 1 where left and right are the same rows, of which each pair is wanted once.
    is_triangle: u32,
    // The first tile of either side.
    first_left: u32,
    first_right: u32,
    // Pairs that there is room for.
    capacity: u32,
}

@group(0) @binding(0) var<uniform> job: Job;
@group(0) @binding(1) var<storage, read> left_rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> right_rows: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> left: array<Row>; // the value is the number of bits
@group(0) @binding(4) var<storage, read> right: array<Row>;
// Σ left weight · right weight · shared bits for each of the two weights, modulo 2³²; then how many pairs there are; then
// the first `capacity` of them, left row before right row, counted from 1.
@group(0) @binding(5) var<storage, read_write> found: array<atomic<u32>>;

// One tile: x counts those of the right side, y those of the left.
@compute @workgroup_size(16, 16)
fn pairs(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let left_four = (job.first_left + group.y) * FOURS + local.y;
    let right_four = (job.first_right + group.x) * FOURS + local.x;
    let shared_bits = tile(left_four - local.y, right_four - local.x, job.words, local.xy);
    var sums = array<u32, 2>();
    for (var j = 0u; j < 4u; j++) {
        let column = right_four * 4u + j;
        for (var i = 0u; i < 4u; i++) {
            let row = left_four * 4u + i;
            let bits = u32(shared_bits[j][i]);
            for (var k = 0u; k < 2u; k++) {
                sums[k] += bits * left[row].weights[k] * right[column].weights[k];
            }
            let either = u32(left[row].value + right[column].value) - bits;
            let is_pair = row < job.left_count && column < job.right_count
                && (job.is_triangle == 0u || row < column);
            if is_pair && bits * 10000u >= job.at_least * either {
                let place = atomicAdd(&found[2], 1u);
                if place < job.capacity {
                    atomicStore(&found[3u + 2u * place], row + 1u);
                    atomicStore(&found[4u + 2u * place], column + 1u);
                }
            }
        }
    }
    for (var k = 0u; k < 2u; k++) {
        atomicAdd(&found[k], sums[k]);
    }
}
