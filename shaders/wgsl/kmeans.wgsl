// The nearest centroid of each row of signed bytes, by squared distance, ties to the lowest.

struct Job {
    // Words of a row, a multiple of 16.
    words: u32,
    // Centroids, without padding.
    centroids: u32,
    // The first tile of rows.
    first_tile: u32,
}

@group(0) @binding(0) var<uniform> job: Job;
@group(0) @binding(1) var<storage, read> left_rows: array<vec4<u32>>; // the rows to be assigned
@group(0) @binding(2) var<storage, read> right_rows: array<vec4<u32>>; // the centroids
@group(0) @binding(3) var<storage, read> rows: array<Row>; // the value is the row's squared norm
@group(0) @binding(4) var<storage, read> centroids: array<Row>; // the value is the centroid's squared norm
@group(0) @binding(5) var<storage, read_write> nearest: array<u32>; // by row the centroid
// Σ row's weight · centroid's weight · product for each of the two weights, modulo 2³².
@group(0) @binding(6) var<storage, read_write> checksums: array<atomic<u32>>;

// 64 rows (x).
@compute @workgroup_size(16, 16)
fn assign(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let row_tile = job.first_tile + group.x;
    var squares = vec4(0i);
    for (var i = 0u; i < 4u; i++) {
        squares[i] = rows[row_tile * SIDE + local.y * 4u + i].value;
    }
    var least = vec4(0xffffffffu);
    var ids = vec4(0u);
    var sums = array<vec4<u32>, 2>();
    for (var first = 0u; first < job.centroids; first += SIDE) {
        let products = tile(row_tile * FOURS, first / 4u, job.words, local.xy);
        for (var j = 0u; j < 4u; j++) {
            let id = first + local.x * 4u + j;
            let centroid = centroids[id];
            if id < job.centroids {
                // ‖x − c‖² = ‖x‖² + ‖c‖² − 2 x·c. Up to 65,536 bytes a row, none of them −128, it is below 2^32 − 1, so
                // arithmetic modulo 2^32 is exact.
                let distances = bitcast<vec4<u32>>(squares + vec4(centroid.value) - 2 * products[j]);
                let nearer = distances < least;
                // Ids ascend, so the first of equals stays.
                least = select(least, distances, nearer);
                ids = select(ids, vec4(id), nearer);
            }
            for (var k = 0u; k < 2u; k++) {
                sums[k] += bitcast<vec4<u32>>(products[j]) * centroid.weights[k];
            }
        }
    }
    left_words[index] = least;
    right_words[index] = ids;
    for (var k = 0u; k < 2u; k++) {
        var sum = 0u;
        for (var i = 0u; i < 4u; i++) {
            sum += sums[k][i] * rows[row_tile * SIDE + local.y * 4u + i].weights[k];
        }
        atomicAdd(&checksums[k], sum);
    }
    workgroupBarrier();
    // One invocation a row: component index % 4 of the sixteen that share its four.
    if index >= SIDE {
        return;
    }
    var best = 0xffffffffu;
    var id = 0u;
    for (var i = index / 4u * FOURS; i < (index / 4u + 1u) * FOURS; i++) {
        let distance = left_words[i][index % 4u];
        let other = right_words[i][index % 4u];
        if distance < best || (distance == best && other < id) {
            best = distance;
            id = other;
        }
    }
    nearest[row_tile * SIDE + index] = id;
}
