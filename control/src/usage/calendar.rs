//! Days and months by their names, in UTC.

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::console::protocol::Period;

const DAY: Duration = Duration::from_secs(86_400);

/// The day of a time in seconds since 1970 UTC, in days since then.
#[must_use]
pub fn day_of(unix_seconds: u64) -> u32 {
    u32::try_from(unix_seconds / DAY.as_secs()).unwrap_or(u32::MAX)
}

/// The period that a day belongs to: `2026-11` or `2026-11-24`.
pub(super) fn period(day: u32, by: Period) -> String {
    let mut name = humantime::format_rfc3339_seconds(begin(day)).to_string();
    name.truncate(match by {
        Period::Month => "2026-11".len(),
        Period::Day => "2026-11-24".len(),
    });
    name
}

/// Days from the first of `from` to the last of `until`, which are days or months; by default from the first of this month to `today`.
///
/// # Errors
/// Which text is no date, with the remedy.
pub fn days(from: Option<&str>, until: Option<&str>, today: u32) -> Result<RangeInclusive<u32>, String> {
    let this_month = period(today, Period::Month);
    let (first, _) = span(from.unwrap_or(&this_month))?;
    let last = until.map_or(Ok(today), |until| span(until).map(|(_, last)| last))?;
    Ok(first..=last)
}

/// The first and the last day of a day or a month.
fn span(text: &str) -> Result<(u32, u32), String> {
    let wrong =
        || format!("{text:?} is no date: write a day, such as 2026-11-24, or a month, such as 2026-11");
    let is_month = text.len() == "2026-11".len();
    let first = day_at(&if is_month { format!("{text}-01") } else { text.to_owned() }).ok_or_else(wrong)?;
    if !is_month {
        return Ok((first, first));
    }
    // Some day of the next month.
    let next = period(first.saturating_add(31), Period::Month);
    let after = day_at(&format!("{next}-01")).ok_or_else(wrong)?;
    Ok((first, after - 1))
}

fn day_at(text: &str) -> Option<u32> {
    let time = humantime::parse_rfc3339(&format!("{text}T00:00:00Z")).ok()?;
    Some(day_of(time.duration_since(UNIX_EPOCH).ok()?.as_secs()))
}

fn begin(day: u32) -> SystemTime {
    // humantime writes no year beyond 9999.
    UNIX_EPOCH + DAY * day.min(LAST_DAY)
}

/// 9999-12-31.
const LAST_DAY: u32 = 2_932_896;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_names_and_names_are_days() {
        assert_eq!(
            (period(0, Period::Day), period(0, Period::Month)),
            ("1970-01-01".into(), "1970-01".into())
        );
        assert_eq!(period(20_781, Period::Day), "2026-11-24");
        assert_eq!(span("2026-11-24"), Ok((20_781, 20_781)));
        assert_eq!(span("2026-11"), Ok((20_758, 20_787)));
        assert_eq!(span("2028-02").map(|(first, last)| last - first + 1), Ok(29));
        assert_eq!(span("2026-12").map(|(first, last)| last - first + 1), Ok(31));
        for wrong in ["", "2026", "2026-13", "2026-11-31", "24.11.2026", "2026-11-24T00:00:00Z", "-000-01"] {
            assert!(span(wrong).is_err_and(|error| error.contains("2026-11")), "{wrong}");
        }
    }

    #[test]
    fn by_default_it_is_this_month_until_today() {
        assert_eq!(days(None, None, 20_781), Ok(20_758..=20_781));
        assert_eq!(days(Some("2026-10"), Some("2026-10"), 20_781), Ok(20_727..=20_757));
        assert_eq!(days(None, Some("2026-11-02"), 20_781), Ok(20_758..=20_759));
    }
}
