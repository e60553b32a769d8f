//! Files that grow by a line at a time under a header: what a kill has left of one.

use serde::de::DeserializeOwned;

/// What is whole of such a file.
pub(crate) struct WholeLines<'a, T> {
    /// The first line.
    pub header: &'a [u8],
    /// The lines after it, up to one that cannot be read.
    pub lines: Vec<T>,
    /// The bytes of all these; what stands behind them is torn.
    pub length: u64,
}

/// Reads what is whole; `None` where not even the first line is.
pub(crate) fn whole_lines<T: DeserializeOwned>(bytes: &[u8]) -> Option<WholeLines<'_, T>> {
    let mut whole = bytes.split_inclusive(|&byte| byte == b'\n').filter(|l| l.ends_with(b"\n"));
    let header = whole.next()?;
    let (mut lines, mut length) = (Vec::new(), header.len());
    for line in whole {
        let Ok(parsed) = serde_json::from_slice(line) else { break };
        lines.push(parsed);
        length += line.len();
    }
    Some(WholeLines { header, lines, length: length as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_torn_or_garbled_ends_it() {
        let read = |text: &str| {
            let whole = whole_lines::<u8>(text.as_bytes())?;
            Some((whole.header.len(), whole.lines, whole.length))
        };
        assert_eq!(read(""), None);
        assert_eq!(read("head"), None);
        assert_eq!(read("head\n"), Some((5, vec![], 5)));
        assert_eq!(read("head\n1\n2\n3"), Some((5, vec![1, 2], 9)));
        assert_eq!(read("head\n1\nx\n3\n"), Some((5, vec![1], 7)));
    }
}
