//! What the fuzzer has learnt: inputs that reach something that no other reaches, one file a target in `fuzz/corpora`, which
//! `cargo xtask soak fuzz` begins with and writes anew. Each is behind its length, four bytes, little-endian.

/// All inputs of a target.
pub fn inputs(target: &str) -> Vec<Vec<u8>> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpora").join(target);
    let bytes = std::fs::read(&path).unwrap();
    let mut rest = &bytes[..];
    let mut inputs = Vec::new();
    while let Some((length, more)) = rest.split_first_chunk() {
        let (input, more) = more.split_at(u32::from_le_bytes(*length) as usize);
        inputs.push(input.to_vec());
        rest = more;
    }
    assert!(inputs.len() >= 10 && rest.is_empty(), "{}", path.display());
    inputs
}
