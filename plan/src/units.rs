//! Sizes for people.

/// One mebibyte.
pub(crate) const MIB: u64 = 1 << 20;

/// `1.9 GiB`, and `512 MiB` below one GiB.
pub(crate) fn human(bytes: u64) -> String {
    const GIB: u64 = 1 << 30;
    const TIB: u64 = 1 << 40;
    // Rounding a size down to one decimal is enough for a person, and never shows more than there is.
    let tenths = |unit: u64| format!("{}.{}", bytes / unit, bytes % unit * 10 / unit);
    match bytes {
        0..GIB => format!("{} MiB", bytes.div_ceil(MIB)),
        GIB..TIB => format!("{} GiB", tenths(GIB)),
        TIB.. => format!("{} TiB", tenths(TIB)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(human(512 * MIB), "512 MiB");
        assert_eq!(human(1 << 30), "1.0 GiB");
        assert_eq!(human((1 << 30) * 19 / 10), "1.8 GiB");
        assert_eq!(human(3 << 40), "3.0 TiB");
    }
}
