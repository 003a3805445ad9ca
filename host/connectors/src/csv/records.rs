//! Bytes become records: fields without quotes and escapes, and the line on which each record begins.

use std::mem;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use memchr::{memchr2, memchr3};

use crate::format::CsvOptions;

/// How much is made room for at once.
const GROWTH_BYTES: usize = 64 << 10;

/// A batch ends when it has so much text, however few rows that are.
const BATCH_BYTES: usize = 16 << 20;

/// A batch ends when it has so many fields that are wanted.
const BATCH_FIELDS: usize = 2 << 20;

/// A row that cannot be read, in a batch that is being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) line: u64,
    pub(crate) column: Option<String>,
    pub(crate) problem: String,
}

/// Where a field lies in the text of its batch.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// Records that are not parsed yet.
#[derive(Debug, Default)]
pub(crate) struct Records {
    /// Text of all fields, record by record. Behind each field is a byte that belongs to none, so that no two make a character together.
    text: Vec<u8>,
    /// Where fields lie, column by column; empty before the first record.
    spans: Vec<Span>,
    columns: usize,
    /// The column that a field of a record belongs to, if anybody wants it; there are as many as a record has fields.
    places: Vec<Option<usize>>,
    rows: Vec<Row>,
    bad: Vec<Bad>,
    rows_max: usize,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    /// Where it begins, in lines of the file.
    line: u64,
    /// Where its text ends.
    end: usize,
}

impl Records {
    /// Room for so many records, each of as many fields as there are `places`: the column that it belongs to, if it is wanted.
    pub(crate) fn new(places: Vec<Option<usize>>, rows_max: usize) -> Self {
        let columns = places.iter().flatten().max().map_or(0, |last| last + 1);
        Self {
            columns,
            places,
            rows_max: rows_max.min(BATCH_FIELDS / columns.max(1)).max(1),
            ..Self::default()
        }
    }

    /// Room for as many of the same.
    pub(crate) fn as_empty(&self) -> Self {
        Self::new(self.places.clone(), self.rows_max)
    }

    /// How far two columns are apart: with a power of two between them, the fields of a row would share few lines of a cache.
    fn stride(&self) -> usize {
        self.rows_max + self.rows_max / 1024
    }

    /// How much text there is.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn line(&self, row: usize) -> u64 {
        self.rows[row].line
    }

    pub(crate) fn count(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.rows.len() + self.bad.len() >= self.rows_max || self.text.len() >= BATCH_BYTES
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.rows.clear();
    }

    /// The rows that could not be read since it was asked last.
    pub(crate) fn take_bad(&mut self) -> Vec<Bad> {
        mem::take(&mut self.bad)
    }

    /// Makes a bad row of each that is not UTF-8.
    pub(crate) fn drop_broken_rows(&mut self) {
        if std::str::from_utf8(&self.text).is_ok() {
            return;
        }
        let (mut start, mut whole) = (0, Vec::new());
        for (number, row) in self.rows.iter().enumerate() {
            let text = &mut self.text[start..row.end];
            start = row.end;
            if std::str::from_utf8(text).is_ok() {
                whole.push(number);
            } else {
                text.fill(b' ');
                self.bad.push(Bad {
                    line: row.line,
                    column: None,
                    problem: "it is not UTF-8".into(),
                });
            }
        }
        let stride = self.stride();
        for spans in self.spans.chunks_exact_mut(stride) {
            for (to, from) in whole.iter().enumerate() {
                spans[to] = spans[*from];
            }
        }
        self.rows = whole.into_iter().map(|number| self.rows[number]).collect();
    }

    /// The text of all fields; that of broken rows means nothing before they are dropped.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// Where the fields of a column lie, row by row.
    pub(crate) fn spans(&self, column: usize) -> &[Span] {
        let start = column * self.stride();
        let spans = self.spans.get(start..start + self.rows.len());
        spans.unwrap_or_default()
    }

    /// Adds a record as it is written, without any quote.
    fn add_plain(&mut self, line: u64, record: &[u8], delimiter: u8) {
        let start = self.text.len();
        self.text.extend_from_slice(record);
        self.text.push(delimiter);
        let ends = Places::of(delimiter, record).chain([record.len()]);
        self.add(line, start, ends.map(|end| start + end));
    }

    /// Adds a record whose fields have been appended from `start` on.
    fn add(&mut self, line: u64, start: usize, ends: impl Iterator<Item = usize>) {
        let (row, stride) = (self.rows.len(), self.stride());
        if self.spans.is_empty() {
            self.spans.resize(self.columns * stride, Span::default());
        }
        let (mut from, mut fields) = (start, 0);
        for end in ends {
            if let Some(&Some(column)) = self.places.get(fields) {
                self.spans[column * stride + row] = Span {
                    start: short(from),
                    end: short(end),
                };
            }
            from = end + 1;
            fields += 1;
        }
        if fields == self.places.len() {
            let end = self.text.len();
            self.rows.push(Row { line, end });
        } else {
            self.text.truncate(start);
            self.refuse(line, fields);
        }
    }

    fn refuse(&mut self, line: u64, fields: usize) {
        let problem = format!("it has {fields} fields instead of {}", self.places.len());
        self.bad.push(Bad {
            line,
            column: None,
            problem,
        });
    }
}

/// Where a byte is among others, 64 of them looked at together: fields are short, and a search for the end of each takes longer.
struct Places<'a> {
    byte: u8,
    rest: &'a [u8],
    /// Where the bytes begin that are looked at next.
    next: usize,
    /// A bit for each of those before that is the byte, as far as it was not handed out yet.
    found: u64,
}

impl<'a> Places<'a> {
    fn of(byte: u8, bytes: &'a [u8]) -> Self {
        Self {
            byte,
            rest: bytes,
            next: 0,
            found: 0,
        }
    }

    /// Looks at the next bytes, if there are any.
    fn look(&mut self) -> Option<u64> {
        self.next += 64;
        if let Some((block, rest)) = self.rest.split_first_chunk() {
            self.rest = rest;
            return Some(equal(block, self.byte));
        }
        let last = mem::take(&mut self.rest);
        let mut block = [!self.byte; 64];
        block[..last.len()].copy_from_slice(last);
        (!last.is_empty()).then(|| equal(&block, self.byte))
    }
}

impl Iterator for Places<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        while self.found == 0 {
            self.found = self.look()?;
        }
        let place = self.next - 64 + self.found.trailing_zeros() as usize;
        self.found &= self.found - 1;
        Some(place)
    }
}

/// A bit for each byte that is this one, the first lowest; eight are compared at once.
fn equal(block: &[u8; 64], byte: u8) -> u64 {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const LOW: u64 = 0x7f * EACH;
    let (words, _) = block.as_chunks();
    words.iter().rev().fold(0, |bits, word| {
        // Zero where they are equal; no sum reaches the byte beside its own.
        let differing = u64::from_le_bytes(*word) ^ (u64::from(byte) * EACH);
        let highest = !(((differing & LOW) + LOW) | differing | LOW);
        // Brings the highest bit of each byte together in the last one.
        bits << 8 | (highest >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
    })
}

/// A place in the text of a batch: less than its most and that of a record.
fn short(place: usize) -> u32 {
    u32::try_from(place).expect("a batch and a record are shorter")
}

/// Cuts the bytes of one file into records.
pub(crate) struct Framer {
    reader: Reader,
    delimiter: u8,
    quote: Option<u8>,
    record_bytes_max: usize,
    /// Line ends that the reader does not see.
    skipped: u64,
    /// Whether the reader has seen the beginning of the file, where a byte order mark may be.
    has_begun: bool,
    /// Whether a record has begun that is not whole.
    is_within: bool,
    current: Current,
}

/// A record that is read bit by bit.
#[derive(Default)]
struct Current {
    line: u64,
    /// Text of its fields; only `length` bytes mean something.
    text: Vec<u8>,
    length: usize,
    /// Where each field ends; only `kept` of them mean something.
    ends: Vec<usize>,
    kept: usize,
    fields: usize,
    is_too_long: bool,
}

impl Framer {
    pub(crate) fn new(options: &CsvOptions, record_bytes_max: usize) -> Self {
        let mut builder = ReaderBuilder::new();
        builder
            .delimiter(options.delimiter)
            .quoting(options.quote.is_some())
            .quote(options.quote.unwrap_or(b'"'))
            .escape(options.escape);
        Self {
            reader: builder.build(),
            delimiter: options.delimiter,
            quote: options.quote,
            record_bytes_max,
            skipped: 0,
            has_begun: false,
            is_within: false,
            current: Current::default(),
        }
    }

    /// Reads until the bytes are used up or the first record is whole; how many bytes it has used, and the fields.
    pub(crate) fn header(&mut self, bytes: &[u8]) -> (usize, Option<Result<Vec<String>, Bad>>) {
        let mut rest = bytes;
        loop {
            if !self.is_within {
                rest = self.skip_line_ends(rest);
            }
            if rest.is_empty() {
                return (bytes.len(), None);
            }
            let (used, is_whole) = self.step(rest, None);
            rest = &rest[used..];
            if is_whole {
                return (bytes.len() - rest.len(), Some(self.names()));
            }
        }
    }

    /// The first record, where no more bytes come.
    pub(crate) fn end_of_header(&mut self) -> Option<Result<Vec<String>, Bad>> {
        self.last(None).then(|| self.names())
    }

    fn names(&self) -> Result<Vec<String>, Bad> {
        let record = &self.current;
        if record.is_too_long {
            return Err(self.too_long(record.line));
        }
        let mut start = 0;
        let names = record.ends[..record.kept].iter().map(|&end| {
            let name = std::str::from_utf8(&record.text[start..end]);
            start = end;
            name.map(str::to_owned).map_err(|_| Bad {
                line: record.line,
                column: None,
                problem: "it is not UTF-8".into(),
            })
        });
        names.collect()
    }

    /// Reads until the bytes are used up or there are enough records; how many bytes it has used.
    pub(crate) fn frame(&mut self, bytes: &[u8], records: &mut Records) -> usize {
        let mut rest = bytes;
        while !records.is_full() {
            if !self.is_within {
                rest = self.skip_line_ends(rest);
                if let Some(record) = self.plain(rest) {
                    let line = self.reader.line() + self.skipped;
                    records.add_plain(line, record, self.delimiter);
                    rest = &rest[record.len()..];
                    continue;
                }
            }
            if rest.is_empty() {
                break;
            }
            let (used, is_whole) = self.step(rest, Some(records.places.len()));
            rest = &rest[used..];
            if is_whole {
                self.add(records);
            }
        }
        bytes.len() - rest.len()
    }

    /// There are no more bytes.
    pub(crate) fn finish(&mut self, records: &mut Records) {
        if self.last(Some(records.places.len())) {
            self.add(records);
        }
    }

    /// Whether there is a record that is whole where no more bytes come.
    fn last(&mut self, width: Option<usize>) -> bool {
        let mut is_whole = false;
        while self.is_within {
            is_whole = self.step(&[], width).1;
        }
        is_whole
    }

    fn skip_line_ends<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let ends = bytes
            .iter()
            .take_while(|byte| matches!(byte, b'\n' | b'\r'))
            .count();
        let (ends, rest) = bytes.split_at(ends);
        let lines = ends.iter().copied().map(|byte| u64::from(byte == b'\n'));
        self.skipped += lines.sum::<u64>();
        rest
    }

    /// The record with which these bytes begin, if it is whole and needs no look at each of its bytes.
    fn plain<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let end = match self.quote {
            Some(quote) => memchr3(quote, b'\n', b'\r', bytes),
            None => memchr2(b'\n', b'\r', bytes),
        };
        let (record, end) = bytes.split_at(end?);
        let is_plain = self.has_begun && Some(end[0]) != self.quote;
        (is_plain && record.len() <= self.record_bytes_max).then_some(record)
    }

    /// Reads on in a record of so many fields; `None`: as many as come. How many bytes it has used, and whether the record is whole.
    fn step(&mut self, bytes: &[u8], width: Option<usize>) -> (usize, bool) {
        if !self.is_within {
            self.current.begin(self.reader.line() + self.skipped);
        }
        (self.has_begun, self.is_within) = (true, true);
        let text_max = self.record_bytes_max + 1;
        let current = &mut self.current;
        current.make_room(text_max, width);
        let (result, used, written, ended) = self.reader.read_record(
            bytes,
            &mut current.text[current.length..],
            &mut current.ends[current.kept..],
        );
        current.length += written;
        current.kept += ended;
        current.fields += ended;
        // What nobody needs is not kept: neither text nor fields of a bad row grow without bounds.
        if current.fields > width.unwrap_or(self.record_bytes_max) {
            current.is_too_long |= width.is_none();
            current.kept = 0;
        }
        if current.length == text_max || current.is_too_long {
            current.is_too_long = true;
            current.length = 0;
        }
        self.is_within = !matches!(result, ReadRecordResult::Record | ReadRecordResult::End);
        (used, matches!(result, ReadRecordResult::Record))
    }

    fn add(&self, records: &mut Records) {
        let record = &self.current;
        if record.is_too_long {
            records.bad.push(self.too_long(record.line));
        } else if record.fields == records.places.len() {
            let (start, mut from) = (records.text.len(), 0);
            for &end in &record.ends[..record.kept] {
                records.text.extend_from_slice(&record.text[from..end]);
                records.text.push(self.delimiter);
                from = end;
            }
            let ends = record.ends[..record.kept].iter().enumerate();
            records.add(
                record.line,
                start,
                ends.map(|(before, end)| start + end + before),
            );
        } else {
            records.refuse(record.line, record.fields);
        }
    }

    fn too_long(&self, line: u64) -> Bad {
        let most = self.record_bytes_max;
        Bad {
            line,
            column: None,
            problem: format!("it is longer than {most} bytes (is a quote not closed?)"),
        }
    }
}

impl Current {
    fn begin(&mut self, line: u64) {
        self.line = line;
        (self.length, self.kept, self.fields) = (0, 0, 0);
        self.is_too_long = false;
    }

    /// For more text, and for the ends of all fields that are wanted.
    fn make_room(&mut self, text_max: usize, width: Option<usize>) {
        if self.length == self.text.len() {
            let room = (self.text.len() * 2).max(GROWTH_BYTES);
            self.text.resize(room.min(text_max), 0);
        }
        let fields = self.kept + width.map_or(1024, |width| width + 1);
        if self.ends.len() < fields {
            self.ends.resize(fields.max(self.ends.len() * 2), 0);
        }
    }
}
