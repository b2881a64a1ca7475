// The rows that k-means begins with: greedy k-means++ on rows of signed bytes, round after round without the host.
//
// D² of a row is its squared distance from the nearest row chosen so far. A round tries some rows, drawn with probability
// proportional to D²: `draw` finds the span of rows in which each lies, `take` the row itself, and `measure` how far all
// rows are from it. The next `draw` chooses the row that leaves the least Σ D², ties to the first. All of it is exact: D² is below
// 2^32, and sums of it are kept in 64 bits.

struct Job {
    // Words of a row; 65,536 bytes at most.
    words: u32,
    // Of the part that is bound: tiles, rows without padding, and the rows and spans before it.
    tiles: u32,
    rows: u32,
    first_row: u32,
    first_span: u32,
    // Spans of all parts.
    spans: u32,
    // Rows tried in a round, at most 16. The first round tries one.
    trials: u32,
}

struct State {
    // How many rounds are over.
    round: u32,
    // The trial that the last of them chose.
    winner: u32,
    // For each trial of this round the span of its row, the Σ D² in that span at which the row is found, and ‖x‖² of the row.
    places: array<vec4<u32>, 16>,
    // Word w of trial t is at 16w + t.
    words: array<u32>,
}

struct Trial {
    // 64 random bits, from the host.
    drawn: vec2<u32>,
    // The row, counted from 1.
    row: u32,
    // Σ D² should the row be chosen, in two words, and the two checksums: Σ weight · product over all rows.
    sums: vec4<u32>,
}

@group(0) @binding(0) var<uniform> job: Job;
@group(0) @binding(1) var<storage, read> left_rows: array<vec4<u32>>; // the part
@group(0) @binding(2) var<storage, read> rows: array<Row>; // of the part; the value is the row's squared norm
@group(0) @binding(3) var<storage, read_write> nearest: array<u32>; // by row of the part D² without the last chosen row
@group(0) @binding(4) var<storage, read_write> distances: array<u32>; // by row of the part and trial
@group(0) @binding(5) var<storage, read_write> spans: array<vec4<u32>>; // by span and trial what `Trial.sums` adds up
@group(0) @binding(6) var<storage, read_write> state: State;
@group(0) @binding(7) var<storage, read_write> trials: array<Trial>; // by round and trial

const TRIALS = 16u;
// Tiles and rows of a span.
const SPAN_TILES = 4u;
const SPAN_ROWS = 256u;

var<workgroup> row_words: array<vec4<u32>, 256>;
var<workgroup> trial_words: array<u32, 256>;
var<workgroup> partial: array<vec4<u32>, 256>;
var<workgroup> found: u32;

// Adds sums of D² and checksums.
fn add(a: vec4<u32>, b: vec4<u32>) -> vec4<u32> {
    return vec4(plus(a.xy, b.xy), a.zw + b.zw);
}

// D² of a row of the part; nothing for the rows that fill up the last tile.
fn settled(row: u32) -> u32 {
    if row >= job.rows {
        return 0u;
    }
    if state.round == 0u {
        return 0xffffffffu;
    }
    return min(nearest[row], distances[row * TRIALS + state.winner]);
}

// One workgroup for all parts, once a round is measured: trials (x), and 16 invocations for each.
@compute @workgroup_size(16, 16)
fn draw(@builtin(local_invocation_id) local: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let round = state.round;
    var sum = vec4(0u);
    for (var span = local.y; span < job.spans; span += 16u) {
        sum = add(sum, spans[span * TRIALS + local.x]);
    }
    partial[index] = sum;
    workgroupBarrier();
    if local.y == 0u {
        for (var lane = 1u; lane < 16u; lane++) {
            sum = add(sum, partial[lane * TRIALS + index]);
        }
        partial[index] = sum;
        trials[round * TRIALS + index].sums = sum;
    }
    workgroupBarrier();
    if index == 0u {
        var least = 0u;
        for (var trial = 1u; trial < select(job.trials, 1u, round == 0u); trial++) {
            least = select(least, trial, below(partial[trial].xy, partial[least].xy));
        }
        found = least;
    }
    let winner = workgroupUniformLoad(&found);
    let total = partial[winner].xy;
    workgroupBarrier();

    // Each invocation sums a stretch of spans. A trial then passes over stretches, and over the spans of one.
    let stretch = (job.spans + 255u) / 256u;
    var own = vec2(0u);
    for (var span = index * stretch; span < min((index + 1u) * stretch, job.spans); span++) {
        own = plus(own, spans[span * TRIALS + winner].xy);
    }
    partial[index] = vec4(own, 0u, 0u);
    workgroupBarrier();
    if index < job.trials {
        // A uniform draw below the total: bits · total / 2^64.
        var rest = high_half(trials[(round + 1u) * TRIALS + index].drawn, total);
        var at = 0u;
        while at < 255u && !below(rest, partial[at].xy) {
            rest = minus(rest, partial[at].xy);
            at++;
        }
        var span = at * stretch;
        while span + 1u < job.spans && !below(rest, spans[span * TRIALS + winner].xy) {
            rest = minus(rest, spans[span * TRIALS + winner].xy);
            span++;
        }
        state.places[index] = vec4(span, rest, 0u);
    }
    if index == 0u {
        state.winner = winner;
        state.round = round + 1u;
    }
}

// One trial (x): its row, if that is in this part.
@compute @workgroup_size(256)
fn take(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let place = state.places[group.x];
    // Spans of earlier parts wrap to numbers that no part has.
    let span = place.x - job.first_span;
    let is_here = span < (job.tiles + SPAN_TILES - 1u) / SPAN_TILES;
    let first = select(0u, span * SPAN_ROWS, is_here);
    // The first round finds a row by its number.
    trial_words[index] = min(settled(first + index), select(0xffffffffu, 1u, state.round == 0u));
    workgroupBarrier();
    if index == 0u {
        var rest = place.yz;
        var at = 0u;
        while at < SPAN_ROWS - 1u && !below(rest, vec2(trial_words[at], 0u)) {
            rest = minus(rest, vec2(trial_words[at], 0u));
            at++;
        }
        found = first + at;
    }
    let row = workgroupUniformLoad(&found);
    if is_here {
        for (var word = index; word < job.words; word += 256u) {
            state.words[word * TRIALS + group.x] = left_rows[row / 4u * job.words + word][row % 4u];
        }
        if index == 0u {
            state.places[group.x].w = bitcast<u32>(rows[row].value);
            trials[state.round * TRIALS + group.x].row = job.first_row + row + 1u;
        }
    }
}

// One span (x) with all trials: trials (x) and fours of rows (y).
@compute @workgroup_size(16, 16)
fn measure(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let square = bitcast<i32>(state.places[local.x].w);
    var sum = vec4(0u);
    for (var tile = group.x * SPAN_TILES; tile < min((group.x + 1u) * SPAN_TILES, job.tiles); tile++) {
        var products = vec4(0i);
        for (var first = 0u; first < job.words; first += DEPTH) {
            workgroupBarrier();
            row_words[local.x * FOURS + local.y] = left_rows[(tile * FOURS + local.y) * job.words + first + local.x];
            trial_words[index] = state.words[first * TRIALS + index];
            workgroupBarrier();
            for (var word = 0u; word < DEPTH; word++) {
                products =
                    meet_four(products, row_words[word * FOURS + local.y], trial_words[word * TRIALS + local.x]);
            }
        }
        let row = tile * SIDE + local.y * 4u;
        let before = vec4(settled(row), settled(row + 1u), settled(row + 2u), settled(row + 3u));
        // The sixteen that share a row have read what they are about to replace.
        storageBarrier();
        for (var i = 0u; i < 4u; i++) {
            let info = rows[row + i];
            // Exact modulo 2^32, as in `kmeans.wgsl`.
            let distance = bitcast<u32>(info.value + square - 2 * products[i]);
            distances[(row + i) * TRIALS + local.x] = distance;
            if local.x == 0u {
                nearest[row + i] = before[i];
            }
            let weights = vec2(info.weights[0], info.weights[1]);
            sum = add(sum, vec4(min(before[i], distance), 0u, bitcast<u32>(products[i]) * weights));
        }
    }
    partial[index] = sum;
    workgroupBarrier();
    if local.y == 0u {
        for (var four = 1u; four < FOURS; four++) {
            sum = add(sum, partial[four * TRIALS + index]);
        }
        spans[(job.first_span + group.x) * TRIALS + index] = sum;
    }
}
