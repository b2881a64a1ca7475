// Which pairs of rows may be other than orthogonal: all that the host still has to judge.
//
// A code is 256 * high + low with both in -128..=127, so a dot product of codes is
// 2^16 * high.high + 2^8 * (high.low + low.high) + low.low, three sums of products of signed bytes.
// A pair is left out only if it surely is orthogonal: |dot| * 2^13 < reach * root and the index of
// shared positions lies below its threshold, both compared in integers that nothing rounds.
//
// Each invocation has 4 x 4 pairs in registers, 8 rows and 8 columns apart; a workgroup 32 x 32.

struct Job {
    left_first: u32,
    left_rows: u32,
    right_first: u32,
    right_rows: u32,
    row_chunks: u32,       // chunks of 16 bytes from one row to the next
    planes: u32,           // 1 where codes are multiples of 256, which have no low plane
    code_chunks: u32,      // chunks of one plane
    bit_chunks: u32,       // chunks of presence bits, behind the planes
    triangle: u32,         // 1: left and right are the same rows, and only pairs i < j count
    structural_factor: u32, // 10^4 + the structural threshold in 10^-4
    capacity: u32,         // entries of the list
    mix_middle: u32,       // what the three other sums weigh in a row's checksum
    mix_low: u32,
    mix_shared: u32,
    unused_0: u32,
    unused_1: u32,
}

struct Row {
    reach: u32,      // floor of the norm times the orthogonal threshold times 2^7
    root: u32,       // floor of the norm times 2^6
    positions: u32,  // structural threshold in 10^-4 times the number of positions
    weight_a: u32,   // what a pair with this right row weighs in the checksums of its left row
    weight_b: u32,
}

@group(0) @binding(0) var<uniform> job: Job;
@group(0) @binding(1) var<storage, read> left_codes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> right_codes: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> left: array<Row>;
@group(0) @binding(4) var<storage, read> right: array<Row>;
@group(0) @binding(5) var<storage, read_write> list: array<u32>;
@group(0) @binding(6) var<storage, read_write> tallies: array<atomic<u32>>;

const SIDE = 32u;
const STEP = 8u;
const WRITTEN = 0x80000000u;
// Before the tallies of rows: entries found, workgroups done.
const HEADER = 2u;
const TALLIES = 3u;

var<workgroup> row_tallies: array<atomic<u32>, 96>;
var<workgroup> found: atomic<u32>;
var<workgroup> place: u32;

fn dot16(a: vec4<u32>, b: vec4<u32>) -> i32 {
    return dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y) + dot4I8Packed(a.z, b.z) + dot4I8Packed(a.w, b.w);
}

fn dots(a: vec4<u32>, b: array<vec4<u32>, 4>) -> vec4<i32> {
    return vec4(dot16(a, b[0]), dot16(a, b[1]), dot16(a, b[2]), dot16(a, b[3]));
}

fn common_of(a: vec4<u32>, b: vec4<u32>) -> u32 {
    let bits = countOneBits(a & b);
    return bits.x + bits.y + bits.z + bits.w;
}

fn commons(a: vec4<u32>, b: array<vec4<u32>, 4>) -> vec4<u32> {
    return vec4(common_of(a, b[0]), common_of(a, b[1]), common_of(a, b[2]), common_of(a, b[3]));
}

fn shifted(x: i32, by: u32) -> vec2<u32> {
    return vec2(bitcast<u32>(x) << by, bitcast<u32>(x >> (32u - by)));
}

fn magnitude(a: vec2<u32>) -> vec2<u32> {
    if (bitcast<i32>(a.y) < 0) {
        return plus(~a, vec2(1u, 0u));
    }
    return a;
}

fn surely_orthogonal(high: i32, middle: i32, low: i32, shared_positions: u32, l: Row, r: Row) -> bool {
    let dot = plus(plus(shifted(high, 29u), shifted(middle, 21u)), shifted(low, 13u));
    return below(magnitude(dot), product(l.reach, r.root))
        && shared_positions * job.structural_factor < l.positions + r.positions;
}

// Adds one left row's four pairs to its checksums, and tells which of them the host has to judge.
fn row_of_pairs(
    lane: u32, columns: vec4<u32>, high: vec4<i32>, middle: vec4<i32>, low: vec4<i32>, shared_count: vec4<u32>,
    first_row: u32,
) -> u32 {
    let i = first_row + lane;
    if (i >= job.left_rows) {
        return 0u;
    }
    let l = left[job.left_first + i];
    var mask = 0u;
    var sums = vec2(0u, 0u);
    for (var k = 0u; k < 4u; k++) {
        let j = columns[k];
        if (j < job.right_rows) {
            let r = right[job.right_first + j];
            let mixed = bitcast<u32>(high[k]) + job.mix_middle * bitcast<u32>(middle[k])
                + job.mix_low * bitcast<u32>(low[k]) + job.mix_shared * shared_count[k];
            sums += mixed * vec2(r.weight_a, r.weight_b);
            let counts = job.triangle == 0u || job.left_first + i < job.right_first + j;
            if (counts && !surely_orthogonal(high[k], middle[k], low[k], shared_count[k], l, r)) {
                mask |= 1u << k;
            }
        }
    }
    atomicAdd(&row_tallies[lane * TALLIES], sums.x);
    atomicAdd(&row_tallies[lane * TALLIES + 1u], sums.y);
    atomicAdd(&row_tallies[lane * TALLIES + 2u], countOneBits(mask));
    return mask;
}

fn chunk_of(first: u32, row: u32, rows: u32) -> u32 {
    // Lanes behind the last row repeat it; their pairs are never counted.
    return (first + min(row, rows - 1u)) * job.row_chunks;
}

@compute @workgroup_size(8, 8)
fn conflict_matrix(
    @builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let first_row = group.y * SIDE;
    let first_column = group.x * SIDE;
    // No pair i < j: the whole workgroup agrees, so leaving before the barriers is uniform.
    if (job.triangle != 0u && job.right_first + first_column < job.left_first + first_row) {
        if (index == 0u) {
            atomicAdd(&tallies[1], 1u);
        }
        return;
    }

    let row = first_row + local.y;
    let column = first_column + local.x;
    let l0 = chunk_of(job.left_first, row, job.left_rows);
    let l1 = chunk_of(job.left_first, row + STEP, job.left_rows);
    let l2 = chunk_of(job.left_first, row + 2u * STEP, job.left_rows);
    let l3 = chunk_of(job.left_first, row + 3u * STEP, job.left_rows);
    let r0 = chunk_of(job.right_first, column, job.right_rows);
    let r1 = chunk_of(job.right_first, column + STEP, job.right_rows);
    let r2 = chunk_of(job.right_first, column + 2u * STEP, job.right_rows);
    let r3 = chunk_of(job.right_first, column + 3u * STEP, job.right_rows);

    var high0 = vec4(0i); var high1 = vec4(0i); var high2 = vec4(0i); var high3 = vec4(0i);
    var middle0 = vec4(0i); var middle1 = vec4(0i); var middle2 = vec4(0i); var middle3 = vec4(0i);
    var low0 = vec4(0i); var low1 = vec4(0i); var low2 = vec4(0i); var low3 = vec4(0i);
    for (var c = 0u; c < job.code_chunks; c++) {
        let rh = array(right_codes[r0 + c], right_codes[r1 + c], right_codes[r2 + c], right_codes[r3 + c]);
        let lh0 = left_codes[l0 + c];
        let lh1 = left_codes[l1 + c];
        let lh2 = left_codes[l2 + c];
        let lh3 = left_codes[l3 + c];
        high0 += dots(lh0, rh);
        high1 += dots(lh1, rh);
        high2 += dots(lh2, rh);
        high3 += dots(lh3, rh);
        if (job.planes == 2u) {
            let b = job.code_chunks + c;
            let rl = array(right_codes[r0 + b], right_codes[r1 + b], right_codes[r2 + b], right_codes[r3 + b]);
            let ll0 = left_codes[l0 + b];
            let ll1 = left_codes[l1 + b];
            let ll2 = left_codes[l2 + b];
            let ll3 = left_codes[l3 + b];
            middle0 += dots(lh0, rl) + dots(ll0, rh);
            middle1 += dots(lh1, rl) + dots(ll1, rh);
            middle2 += dots(lh2, rl) + dots(ll2, rh);
            middle3 += dots(lh3, rl) + dots(ll3, rh);
            low0 += dots(ll0, rl);
            low1 += dots(ll1, rl);
            low2 += dots(ll2, rl);
            low3 += dots(ll3, rl);
        }
    }
    var common0 = vec4(0u); var common1 = vec4(0u); var common2 = vec4(0u); var common3 = vec4(0u);
    let bits = job.code_chunks * job.planes;
    for (var c = bits; c < bits + job.bit_chunks; c++) {
        let rb = array(right_codes[r0 + c], right_codes[r1 + c], right_codes[r2 + c], right_codes[r3 + c]);
        common0 += commons(left_codes[l0 + c], rb);
        common1 += commons(left_codes[l1 + c], rb);
        common2 += commons(left_codes[l2 + c], rb);
        common3 += commons(left_codes[l3 + c], rb);
    }

    let columns = vec4(column, column + STEP, column + 2u * STEP, column + 3u * STEP);
    var mask = row_of_pairs(local.y, columns, high0, middle0, low0, common0, first_row);
    mask |= row_of_pairs(local.y + STEP, columns, high1, middle1, low1, common1, first_row) << 4u;
    mask |= row_of_pairs(local.y + 2u * STEP, columns, high2, middle2, low2, common2, first_row) << 8u;
    mask |= row_of_pairs(local.y + 3u * STEP, columns, high3, middle3, low3, common3, first_row) << 12u;

    // One place in the list for the whole workgroup, one in that for each invocation.
    let before = atomicAdd(&found, countOneBits(mask));
    workgroupBarrier();
    if (index == 0u) {
        place = atomicAdd(&tallies[0], atomicLoad(&found));
        atomicAdd(&tallies[1], 1u);
    }
    if (index < SIDE && first_row + index < job.left_rows) {
        for (var t = 0u; t < TALLIES; t++) {
            let sum = atomicLoad(&row_tallies[index * TALLIES + t]);
            atomicAdd(&tallies[HEADER + (first_row + index) * TALLIES + t], sum);
        }
    }
    workgroupBarrier();
    var entry = place + before;
    while (mask != 0u) {
        let bit = firstTrailingBit(mask);
        mask &= mask - 1u;
        if (entry < job.capacity) {
            list[entry] = WRITTEN | ((row + (bit >> 2u) * STEP) << 15u) | (column + (bit & 3u) * STEP);
        }
        entry++;
    }
}
