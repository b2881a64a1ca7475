// Prelude: numbers of 64 bits as two words, the low one first.

fn plus(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2(low, a.y + b.y + select(0u, 1u, low < a.x));
}

fn minus(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return vec2(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}

fn product(a: u32, b: u32) -> vec2<u32> {
    let low = (a & 0xffffu) * (b & 0xffffu);
    let middle = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
    let other = (a & 0xffffu) * (b >> 16u) + (middle & 0xffffu);
    return vec2((other << 16u) | (low & 0xffffu), (a >> 16u) * (b >> 16u) + (middle >> 16u) + (other >> 16u));
}

fn below(a: vec2<u32>, b: vec2<u32>) -> bool {
    return a.y < b.y || (a.y == b.y && a.x < b.x);
}

// The upper 64 bits of a product. No sum here leaves 64 bits: (2^32 - 1)^2 + 2 * (2^32 - 1) is 2^64 - 1.
fn high_half(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let middle = plus(product(a.x, b.y), vec2(product(a.x, b.x).y, 0u));
    let other = plus(product(a.y, b.x), vec2(middle.x, 0u));
    return plus(plus(product(a.y, b.y), vec2(middle.y, 0u)), vec2(other.y, 0u));
}
