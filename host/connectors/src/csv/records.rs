//! Bytes become records: fields without quotes and escapes, and the line on which each record begins.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use crate::format::CsvOptions;

/// How much is made room for at once.
const GROWTH_BYTES: usize = 64 << 10;

/// A batch ends when it has so much text, however few rows that are.
const BATCH_BYTES: usize = 16 << 20;

/// A row that cannot be read, in a batch that is being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) line: u64,
    pub(crate) column: Option<String>,
    pub(crate) problem: String,
}

/// Records that are not parsed yet.
#[derive(Debug, Default)]
pub(crate) struct Records {
    /// Text of all fields, one behind the other; only `length` bytes mean something.
    data: Vec<u8>,
    length: usize,
    /// Where each field ends; only `fields` of them mean something.
    ends: Vec<usize>,
    fields: usize,
    /// Where each record begins, in lines of the file.
    lines: Vec<u64>,
    bad: Vec<Bad>,
    rows_max: usize,
    /// So much text belongs to whole records.
    complete: usize,
}

impl Records {
    pub(crate) fn new(rows_max: usize) -> Self {
        Self {
            rows_max,
            ..Self::default()
        }
    }

    pub(crate) fn line(&self, row: usize) -> u64 {
        self.lines[row]
    }

    pub(crate) fn is_full(&self) -> bool {
        self.lines.len() + self.bad.len() >= self.rows_max || self.complete >= BATCH_BYTES
    }

    pub(crate) fn clear(&mut self) {
        (self.length, self.complete, self.fields) = (0, 0, 0);
        self.lines.clear();
    }

    /// The rows that could not be read since it was asked last.
    pub(crate) fn take_bad(&mut self) -> Vec<Bad> {
        std::mem::take(&mut self.bad)
    }

    /// The text of all fields, and where each ends. Rows that are not UTF-8 become bad ones.
    pub(crate) fn text(&mut self) -> (&str, &[usize]) {
        if std::str::from_utf8(&self.data[..self.length]).is_err() {
            self.drop_broken_rows();
        }
        let text = std::str::from_utf8(&self.data[..self.length]);
        (
            text.expect("every row is UTF-8 now"),
            &self.ends[..self.fields],
        )
    }

    fn drop_broken_rows(&mut self) {
        let width = self.fields / self.lines.len().max(1);
        let (mut from, mut length, mut fields) = (0, 0, 0);
        let lines = std::mem::take(&mut self.lines);
        for (row, line) in lines.into_iter().enumerate() {
            let ends: Vec<usize> = self.ends[row * width..(row + 1) * width].to_vec();
            let end = ends.last().copied().unwrap_or(from);
            if std::str::from_utf8(&self.data[from..end]).is_ok() {
                self.data.copy_within(from..end, length);
                for end in ends {
                    self.ends[fields] = end - from + length;
                    fields += 1;
                }
                length += end - from;
                self.lines.push(line);
            } else {
                self.bad.push(Bad {
                    line,
                    column: None,
                    problem: "it is not UTF-8".into(),
                });
            }
            from = end;
        }
        (self.length, self.fields) = (length, fields);
    }
}

/// Cuts the bytes of one file into records.
pub(crate) struct Framer {
    reader: Reader,
    /// How many fields a record has; `None`: as many as come.
    columns: Option<usize>,
    record_bytes_max: usize,
    /// Line ends before records, which the reader does not see.
    skipped: u64,
    /// The record that has begun.
    current: Option<Current>,
}

struct Current {
    line: u64,
    /// Where its text begins.
    start: usize,
    /// Where its ends of fields begin.
    first: usize,
    fields: usize,
    is_too_long: bool,
}

impl Framer {
    pub(crate) fn new(
        options: &CsvOptions,
        columns: Option<usize>,
        record_bytes_max: usize,
    ) -> Self {
        let mut builder = ReaderBuilder::new();
        builder
            .delimiter(options.delimiter)
            .quoting(options.quote.is_some())
            .quote(options.quote.unwrap_or(b'"'))
            .escape(options.escape);
        Self {
            reader: builder.build(),
            columns,
            record_bytes_max,
            skipped: 0,
            current: None,
        }
    }

    /// From the next record on, each has so many fields.
    pub(crate) fn expect_columns(&mut self, columns: usize) {
        self.columns = Some(columns);
    }

    /// Reads until the bytes are used up or there are enough records; how many bytes it has used.
    pub(crate) fn frame(&mut self, bytes: &[u8], records: &mut Records) -> usize {
        let mut rest = bytes;
        while !records.is_full() {
            if self.current.is_none() {
                rest = self.skip_line_ends(rest);
            }
            if rest.is_empty() {
                break;
            }
            let used = self.step(rest, records);
            rest = &rest[used..];
        }
        bytes.len() - rest.len()
    }

    /// There are no more bytes.
    pub(crate) fn finish(&mut self, records: &mut Records) {
        while self.current.is_some() {
            self.step(&[], records);
        }
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

    fn step(&mut self, bytes: &[u8], records: &mut Records) -> usize {
        let line = self.reader.line() + self.skipped;
        let current = self.current.get_or_insert(Current {
            line,
            start: records.length,
            first: records.fields,
            fields: 0,
            is_too_long: false,
        });
        let text_max = current.start + self.record_bytes_max + 1;
        if records.length == records.data.len() {
            let room = (records.data.len() * 2).max(GROWTH_BYTES);
            records
                .data
                .resize(room.min(text_max).max(records.length + 1), 0);
        }
        let slots = self.columns.map_or(1024, |columns| columns + 1);
        if records.ends.len() < records.fields + slots {
            let room = (records.ends.len() * 2).max(records.fields + slots);
            records.ends.resize(room, 0);
        }
        let text_end = records.data.len().min(text_max);
        let (result, used, written, ended) = self.reader.read_record(
            bytes,
            &mut records.data[records.length..text_end],
            &mut records.ends[records.fields..],
        );
        records.length += written;
        records.fields += ended;
        current.fields += ended;
        // What nobody needs is not kept: neither text nor fields of a bad row grow without bounds.
        if current.fields > self.columns.unwrap_or(self.record_bytes_max) {
            current.is_too_long |= self.columns.is_none();
            records.fields = current.first;
        }
        if records.length == text_max || current.is_too_long {
            current.is_too_long = true;
            records.length = current.start;
        }
        match result {
            ReadRecordResult::Record => self.end_record(records),
            ReadRecordResult::End => self.current = None,
            ReadRecordResult::InputEmpty
            | ReadRecordResult::OutputFull
            | ReadRecordResult::OutputEndsFull => {}
        }
        used
    }

    fn end_record(&mut self, records: &mut Records) {
        let Some(current) = self.current.take() else {
            return;
        };
        let problem = match self.columns {
            _ if current.is_too_long => format!(
                "it is longer than {} bytes (is a quote not closed?)",
                self.record_bytes_max
            ),
            Some(columns) if columns != current.fields => {
                format!("it has {} fields instead of {columns}", current.fields)
            }
            _ => {
                for end in &mut records.ends[current.first..records.fields] {
                    *end += current.start;
                }
                records.lines.push(current.line);
                records.complete = records.length;
                return;
            }
        };
        (records.length, records.fields) = (current.start, current.first);
        records.bad.push(Bad {
            line: current.line,
            column: None,
            problem,
        });
    }
}
