// Which rows of a corpus may be among the nearest to each query: three passes over rows of signed bytes.
//
// The key of a query and a row is their product less the row's offset. `scan` finds the greatest key of each strip of the
// corpus, `choose` from those a floor under the k-th greatest key (where floors are not given), and `list` lists the rows
// whose key reaches the floor, once that is lowered by the query's reach. Only strips that have such a row are read a
// second time, and no matrix of keys is kept.

struct Job {
    // Words of a row, a multiple of 16.
    words: u32,
    // Queries, without padding.
    queries: u32,
    // Tiles of 64 rows in a strip.
    strip_tiles: u32,
    // Strips of the whole corpus.
    strips: u32,
    // Where the part of the corpus that is bound begins.
    first_strip: u32,
    first_row: u32,
    // How many nearest rows `choose` is to find a floor for.
    wanted: u32,
    // Places in the list of a query.
    capacity: u32,
    // Offsets are shifted right by so many bits, 0 to 31.
    shift: u32,
}

struct Query {
    // The floor: given, or chosen by `choose`.
    floor: i32,
    // How far below the floor the key of a wanted row can lie; the greatest number stands for any distance.
    reach: u32,
    weights: array<u32, 2>,
}

@group(0) @binding(0) var<uniform> job: Job;
@group(0) @binding(1) var<storage, read> left_rows: array<vec4<u32>>; // the queries
@group(0) @binding(2) var<storage, read> right_rows: array<vec4<u32>>; // the part of the corpus
@group(0) @binding(3) var<storage, read> rows: array<Row>; // of the corpus; the value is the row's offset
@group(0) @binding(4) var<storage, read> allowed: array<u32>; // bit i of word w: row 32w + i may be found
@group(0) @binding(5) var<storage, read_write> strips: array<i32>; // by query and strip the greatest key
@group(0) @binding(6) var<storage, read_write> queries: array<Query>;
// Σ query's weight · row's weight · product for each of the two weights, modulo 2³²; then by query how many rows there are
// to list; then by query the first `capacity` of them, counted from 1.
@group(0) @binding(7) var<storage, read_write> found: array<atomic<u32>>;

// Below every key.
const NONE = -2147483647 - 1;

var<workgroup> total: atomic<u32>;

fn is_allowed(row: u32) -> bool {
    return ((allowed[row / 32u] >> (row % 32u)) & 1u) == 1u;
}

// One strip (x) and 64 queries (y).
@compute @workgroup_size(16, 16)
fn scan(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    var greatest = vec4(NONE);
    var sums = array<vec4<u32>, 2>();
    for (var i = 0u; i < job.strip_tiles; i++) {
        let first = (group.x * job.strip_tiles + i) * FOURS;
        let products = tile(group.y * FOURS, first, job.words, local.xy);
        for (var j = 0u; j < 4u; j++) {
            let row = (first + local.x) * 4u + j;
            if is_allowed(row) {
                greatest = max(greatest, products[j] - vec4(rows[row].value >> job.shift));
            }
            for (var k = 0u; k < 2u; k++) {
                sums[k] += bitcast<vec4<u32>>(products[j]) * rows[row].weights[k];
            }
        }
    }
    left_words[index] = bitcast<vec4<u32>>(greatest);
    for (var k = 0u; k < 2u; k++) {
        var sum = 0u;
        for (var i = 0u; i < 4u; i++) {
            sum += sums[k][i] * queries[group.y * SIDE + local.y * 4u + i].weights[k];
        }
        atomicAdd(&found[k], sum);
    }
    workgroupBarrier();
    // One invocation a query: component index % 4 of the sixteen that share its four.
    if index >= SIDE {
        return;
    }
    var strip = NONE;
    for (var i = index / 4u * FOURS; i < (index / 4u + 1u) * FOURS; i++) {
        strip = max(strip, bitcast<i32>(left_words[i][index % 4u]));
    }
    strips[(group.y * SIDE + index) * job.strips + job.first_strip + group.x] = strip;
}

// One query (x). A strip has a row with its greatest key, so the k-th greatest of the strips is a key that k rows reach; it
// is found bit by bit from the highest. With fewer strips than k it is below every key.
@compute @workgroup_size(256)
fn choose(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let first = group.x * job.strips;
    var floor = 0u;
    for (var bit = 0x80000000u; bit > 0u; bit >>= 1u) {
        var count = 0u;
        for (var i = index; i < job.strips; i += 256u) {
            // Flipping the sign orders as unsigned what is ordered as signed.
            let greatest = bitcast<u32>(strips[first + i]) ^ 0x80000000u;
            count += u32(greatest >= (floor | bit));
        }
        if index == 0u {
            atomicStore(&total, 0u);
        }
        workgroupBarrier();
        atomicAdd(&total, count);
        workgroupBarrier();
        if atomicLoad(&total) >= job.wanted {
            floor |= bit;
        }
        workgroupBarrier();
    }
    if index == 0u {
        queries[group.x].floor = bitcast<i32>(floor ^ 0x80000000u);
    }
}

// One strip (x) and one query (y).
@compute @workgroup_size(64)
fn list(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let query = group.y;
    let floor = bitcast<u32>(queries[query].floor);
    // The difference, or what is below every key where it leaves the range.
    let least = bitcast<i32>(floor - min(queries[query].reach, floor ^ 0x80000000u));
    if strips[query * job.strips + job.first_strip + group.x] < least {
        return;
    }
    for (var i = index; i < job.strip_tiles * FOURS; i += 64u) {
        let four = group.x * job.strip_tiles * FOURS + i;
        var products = vec4(0i);
        for (var word = 0u; word < job.words; word++) {
            let asked = left_rows[query / 4u * job.words + word][query % 4u];
            products = meet_four(products, right_rows[four * job.words + word], asked);
        }
        for (var j = 0u; j < 4u; j++) {
            let row = four * 4u + j;
            if is_allowed(row) && products[j] - (rows[row].value >> job.shift) >= least {
                let place = atomicAdd(&found[2u + query], 1u);
                if place < job.capacity {
                    atomicStore(&found[2u + job.queries + query * job.capacity + place], job.first_row + row + 1u);
                }
            }
        }
    }
}
