//! Tables in HTML as pandas' `read_html` reads them.

use std::sync::LazyLock;

use regex::Regex;

use super::delimited::typed;
use super::frame::{Column, Frame, is_read, names};
use crate::score::livebench::pattern;

static TAG: LazyLock<Regex> = LazyLock::new(|| pattern(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)([^<>]*)>"));
static SPAN: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?i)(colspan|rowspan)\s*=\s*["']?\s*(\d+)"#));
static SPACE: LazyLock<Regex> = LazyLock::new(|| pattern(r"[\r\n]+|\s{2,}"));
static ENTITY: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"&(?:#(\d+)|#[xX]([0-9a-fA-F]+)|([a-zA-Z]+));?"));
static THOUSANDS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^-?[0-9]+(,?[0-9])*(\.[0-9]*)?([0-9]?[Ee]-?[0-9]+)?$"));

/// Cells that a span may make of one.
const MAX_SPAN: usize = 1000;

/// Names of characters that are told by name.
const ENTITIES: [(&str, &str); 14] = [
    ("amp", "&"),
    ("lt", "<"),
    ("gt", ">"),
    ("quot", "\""),
    ("apos", "'"),
    ("nbsp", "\u{a0}"),
    ("ndash", "–"),
    ("mdash", "—"),
    ("deg", "°"),
    ("eacute", "é"),
    ("euro", "€"),
    ("pound", "£"),
    ("rsquo", "’"),
    ("hellip", "…"),
];

#[derive(Clone, Debug, Default)]
struct Spanned {
    text: String,
    is_header: bool,
    num_columns: usize,
    num_rows: usize,
}

type Row = Vec<Spanned>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Head,
    Body,
    Foot,
}

/// Rows of a table by the part they stand in.
#[derive(Debug, Default)]
struct Table {
    rows: Vec<(Option<Section>, Row)>,
}

/// The one table of a page; nothing where there is none, or several.
pub(super) fn frame(text: &str) -> Option<Frame> {
    let tables = tables(text);
    let mut told = tables.iter().filter(|table| table.has_text());
    let table = told.next().filter(|_| told.next().is_none())?;
    table.frame()
}

fn tables(text: &str) -> Vec<Table> {
    let text = &without_comments(text);
    let mut reader = Reader::default();
    let mut end = 0;
    for tag in TAG.captures_iter(text) {
        let place = tag.get(0).map_or(0..0, |whole| whole.range());
        reader.text(&text[end..place.start]);
        end = place.end;
        let name = tag[2].to_lowercase();
        match &tag[1] {
            "" => reader.open(&name, &tag[3]),
            _ => reader.close(&name),
        }
    }
    reader.text(&text[end..]);
    reader.tables
}

fn without_comments(text: &str) -> String {
    let (mut rest, mut kept) = (text, String::new());
    while let Some((before, (_, behind))) = rest
        .split_once("<!--")
        .and_then(|(before, comment)| Some((before, comment.split_once("-->")?)))
    {
        kept.push_str(before);
        rest = behind;
    }
    kept + rest
}

/// Tables as they are read; tags that close cells and rows may be missing.
#[derive(Default)]
struct Reader {
    tables: Vec<Table>,
    is_inside: bool,
    section: Option<Section>,
    has_row: bool,
    has_cell: bool,
}

impl Reader {
    fn text(&mut self, text: &str) {
        if let Some(cell) = self.cell() {
            cell.text.push_str(text);
        }
    }

    fn cell(&mut self) -> Option<&mut Spanned> {
        let is_open = self.is_inside && self.has_cell;
        self.tables.last_mut()?.rows.last_mut()?.1.last_mut().filter(|_| is_open)
    }

    fn open(&mut self, name: &str, attributes: &str) {
        match name {
            "table" => {
                self.tables.push(Table::default());
                (self.is_inside, self.section) = (true, None);
                (self.has_row, self.has_cell) = (false, false);
            }
            _ if !self.is_inside => {}
            "thead" => self.enter(Section::Head),
            "tbody" => self.enter(Section::Body),
            "tfoot" => self.enter(Section::Foot),
            "tr" => self.row(),
            "td" | "th" => {
                if !self.has_row {
                    self.row();
                }
                let span = |which: &str| span(attributes, which);
                let (num_columns, num_rows) = (span("colspan"), span("rowspan"));
                let is_header = name == "th";
                let cell = Spanned { text: String::new(), is_header, num_columns, num_rows };
                if let Some((_, row)) =
                    self.tables.last_mut().and_then(|table| table.rows.last_mut())
                {
                    row.push(cell);
                }
                self.has_cell = true;
            }
            "br" => self.text("\n"),
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "td" | "th" => self.has_cell = false,
            "tr" => (self.has_row, self.has_cell) = (false, false),
            "thead" | "tbody" | "tfoot" => {
                (self.section, self.has_row, self.has_cell) = (None, false, false);
            }
            "table" => self.is_inside = false,
            _ => {}
        }
    }

    fn enter(&mut self, section: Section) {
        (self.section, self.has_row, self.has_cell) = (Some(section), false, false);
    }

    fn row(&mut self) {
        let section = self.section;
        if let Some(table) = self.tables.last_mut() {
            table.rows.push((section, Vec::new()));
        }
        (self.has_row, self.has_cell) = (true, false);
    }
}

fn span(attributes: &str, which: &str) -> usize {
    let mut spans = SPAN.captures_iter(attributes);
    let found = spans.find(|span| span[1].eq_ignore_ascii_case(which));
    let number = found.and_then(|span| span[2].parse().ok()).unwrap_or(1);
    number.clamp(1, MAX_SPAN)
}

impl Table {
    fn has_text(&self) -> bool {
        self.rows.iter().flat_map(|(_, row)| row).any(|cell| !cell.text.trim().is_empty())
    }

    fn part(&self, section: Option<Section>) -> Vec<Row> {
        let rows = self.rows.iter().filter(|(of, _)| *of == section);
        rows.map(|(_, row)| row.clone()).collect()
    }

    fn frame(&self) -> Option<Frame> {
        let mut head = self.part(Some(Section::Head));
        let mut body = self.part(Some(Section::Body));
        body.extend(self.part(None));
        if head.is_empty() {
            let is_header = |row: &Row| row.iter().all(|cell| cell.is_header);
            let num = body.iter().take_while(|row| is_header(row)).count();
            head = body.drain(..num).collect();
        }
        let head = spread(&head)?;
        let told: Vec<usize> = match head.len() {
            1 => vec![0],
            _ => (0..head.len())
                .filter(|&row| head[row].iter().any(|text| !text.is_empty()))
                .collect(),
        };
        let mut rows = head;
        rows.extend(spread(&body)?);
        rows.extend(spread(&self.part(Some(Section::Foot)))?);
        let width = rows.iter().map(Vec::len).max().unwrap_or(0);
        if !is_read(rows.len(), width) {
            return None;
        }
        rows.iter_mut().for_each(|row| row.resize(width, String::new()));
        let header = (told.len() == 1).then(|| names(&rows[told[0]]));
        let mut rows = rows.split_off(told.last().map_or(0, |last| last + 1));
        rows.retain(|row| row.len() > 1 || row.iter().any(|text| !text.is_empty()));
        let column = |place: usize| -> Column {
            let fields: Vec<String> = rows.iter().map(|row| without_commas(&row[place])).collect();
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            typed(header.as_ref().map(|names| names[place].clone()), &fields)
        };
        Some(Frame { columns: (0..width).map(column).collect(), num_rows: rows.len() })
    }
}

/// Rows of texts, with those that span several cells in each of them; nothing where that makes too many.
fn spread(rows: &[Row]) -> Option<Vec<Vec<String>>> {
    let (mut found, mut num_cells) = (Vec::new(), 0);
    // The place, the text and how many rows it still reaches into.
    let mut reaching: Vec<(usize, String, usize)> = Vec::new();
    let mut left = rows.iter();
    loop {
        let row = left.next();
        if row.is_none() && reaching.is_empty() {
            return Some(found);
        }
        let (mut texts, mut next) = (Vec::new(), Vec::new());
        let mut before = reaching.into_iter().peekable();
        let mut take = |texts: &mut Vec<String>, is_last: bool, next: &mut Vec<_>| {
            while let Some((place, text, num)) =
                before.next_if(|(place, ..)| is_last || *place <= texts.len())
            {
                texts.push(text.clone());
                if num > 1 {
                    next.push((place, text, num - 1));
                }
            }
        };
        for cell in row.into_iter().flatten() {
            take(&mut texts, false, &mut next);
            let (place, text) = (texts.len(), plain(&cell.text));
            for offset in 0..cell.num_columns {
                if cell.num_rows > 1 {
                    next.push((place + offset, text.clone(), cell.num_rows - 1));
                }
                texts.push(text.clone());
            }
        }
        take(&mut texts, true, &mut next);
        num_cells += texts.len() + next.len();
        if !is_read(num_cells, 1) {
            return None;
        }
        found.push(texts);
        reaching = next;
    }
}

/// A cell's text, characters that are told by name or number in their place.
fn plain(text: &str) -> String {
    let character = |found: &regex::Captures<'_>| {
        let code = |group: usize, radix| {
            found.get(group).and_then(|digits| u32::from_str_radix(digits.as_str(), radix).ok())
        };
        let named = found.get(3).and_then(|name| {
            ENTITIES
                .iter()
                .find(|(known, _)| *known == name.as_str())
                .map(|known| known.1.to_owned())
        });
        let coded = code(1, 10).or_else(|| code(2, 16)).and_then(char::from_u32);
        named.or_else(|| coded.map(String::from)).unwrap_or_else(|| found[0].to_owned())
    };
    let text = ENTITY.replace_all(text, character);
    SPACE.replace_all(text.trim(), " ").into_owned()
}

fn without_commas(text: &str) -> String {
    match text.contains(',') && THOUSANDS.is_match(text) {
        true => text.replace(',', ""),
        false => text.to_owned(),
    }
}
