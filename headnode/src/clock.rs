//! Time as the store keeps it: milliseconds since 1970, UTC.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since 1970; 0 while the clock stands before that.
pub fn now_ms() -> i64 {
    ms(SystemTime::now())
}

/// `time` as milliseconds since 1970.
pub fn ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Seconds since 1970.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// RFC 3339 in UTC with milliseconds, as in `2026-11-22T15:00:00.250Z`.
pub fn text(ms: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok();
    let text = time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| ms.to_string());
    // Rfc3339 drops the zeros at the end of the fraction, and JSON consumers like columns.
    match text.strip_suffix('Z') {
        Some(text) => match text.split_once('.') {
            Some((whole, fraction)) => format!("{whole}.{fraction:0<3}Z"),
            None => format!("{text}.000Z"),
        },
        None => text,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn milliseconds_have_three_digits() {
        assert_eq!(super::text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(super::text(1_763_827_200_250), "2025-11-22T16:00:00.250Z");
        assert_eq!(super::text(1_763_827_200_100), "2025-11-22T16:00:00.100Z");
    }
}
