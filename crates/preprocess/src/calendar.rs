//! Dates for templates that print the day (`strftime_now`), in UTC.

const SECONDS_PER_DAY: u64 = 86_400;
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Python's `strftime` for `seconds` since 1970, for the directives that dates need; others stay as they are.
pub(crate) fn format(seconds: u64, format: &str) -> String {
    let (days, time) = (seconds / SECONDS_PER_DAY, seconds % SECONDS_PER_DAY);
    let (year, month, day) = date(days);
    let month_name = MONTHS[month - 1];
    let day_name = DAYS[(days as usize + 4) % 7];
    let mut text = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        match characters.next() {
            Some('Y') => text += &year.to_string(),
            Some('y') => text += &format!("{:02}", year % 100),
            Some('m') => text += &format!("{month:02}"),
            Some('d') => text += &format!("{day:02}"),
            Some('B') => text += month_name,
            Some('b') => text += &month_name[..3],
            Some('A') => text += day_name,
            Some('a') => text += &day_name[..3],
            Some('H') => text += &format!("{:02}", time / 3600),
            Some('M') => text += &format!("{:02}", time / 60 % 60),
            Some('S') => text += &format!("{:02}", time % 60),
            Some('%') => text.push('%'),
            other => text.extend(['%'].into_iter().chain(other)),
        }
    }
    text
}

/// Year, month and day of the month of a day counted from 1 January 1970.
fn date(mut days: u64) -> (u64, usize, u64) {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates_are_those_of_python() {
        // datetime.fromtimestamp(seconds, timezone.utc).strftime("%A %a %d %B %b %m %Y %y %H:%M:%S %%")
        for (seconds, expected) in [
            (0, "Thursday Thu 01 January Jan 01 1970 70 00:00:00 %"),
            (951_868_799, "Tuesday Tue 29 February Feb 02 2000 00 23:59:59 %"),
            (1_735_689_600, "Wednesday Wed 01 January Jan 01 2025 25 00:00:00 %"),
            (4_107_542_400, "Monday Mon 01 March Mar 03 2100 00 00:00:00 %"),
        ] {
            let text = super::format(seconds, "%A %a %d %B %b %m %Y %y %H:%M:%S %%");
            assert_eq!(text, expected);
        }
        assert_eq!(super::format(0, "%Q %"), "%Q %");
    }
}
