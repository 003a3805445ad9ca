//! The formats of files, and how they are told by names.

use crate::error::Error;

/// How rows are written in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// Values separated by commas (or tabs, for `.tsv`).
    Csv(CsvOptions),
    /// One JSON object a line.
    JsonLines,
    /// Apache Parquet.
    Parquet,
    /// Arrow's own format, as a file with a footer.
    Arrow,
    /// The same without a footer, as it goes over wires.
    ArrowStream,
}

/// What surrounds the bytes of a text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Nothing.
    #[default]
    None,
    /// Gzip; a file may have several members.
    Gzip,
    /// Zstandard; a file may have several frames.
    Zstd,
}

/// How values are separated and quoted, and which mean null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// Between two values; `,` unless said otherwise. A byte of ASCII.
    pub delimiter: u8,
    /// Around a value that holds delimiters, quotes or line ends; `"` unless said otherwise, `None`: there are no quotes. A quote
    /// in a quoted value is doubled.
    pub quote: Option<u8>,
    /// Before a quote in a quoted value; none unless said otherwise.
    pub escape: Option<u8>,
    /// Whether the first record names the columns; it does unless said otherwise. Without, they are `column_1`, `column_2`, ...,
    /// or those of the declared schema.
    pub header: bool,
    /// Values that mean null; the empty one unless said otherwise. In columns that are not text, an empty value is always null. A
    /// sink writes the first of them for null, so a text that is the same comes back as null.
    pub null_values: Vec<String>,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: Some(b'"'),
            escape: None,
            header: true,
            null_values: vec![String::new()],
        }
    }
}

impl CsvOptions {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let bytes = [Some(self.delimiter), self.quote, self.escape];
        for byte in bytes.into_iter().flatten() {
            if !byte.is_ascii() || byte == b'\n' || byte == b'\r' {
                let text =
                    "delimiter, quote and escape are single characters of ASCII, and no line ends";
                return Err(Error::Setting(text.into()));
            }
        }
        if self.quote == Some(self.delimiter) || self.escape == Some(self.delimiter) {
            return Err(Error::Setting(
                "the delimiter cannot be the quote or the escape, too".into(),
            ));
        }
        Ok(())
    }
}

impl Format {
    /// The format and compression that a file's name tells: `.csv`, `.tsv`, `.jsonl`, `.ndjson`, `.json` (one object a line, too),
    /// `.parquet`, `.arrow`, `.feather`, `.ipc`, `.arrows`; text formats may be followed by `.gz` or `.zst`.
    ///
    /// # Errors
    ///
    /// It tells none.
    pub fn of_name(name: &str) -> Result<(Self, Compression), Error> {
        let unknown = || Error::UnknownFormat(name.to_owned());
        let compression = Compression::of_name(name);
        let inner = compression.strip(name);
        let extension = inner.rsplit_once('.').ok_or_else(unknown)?.1;
        let format = match extension.to_ascii_lowercase().as_str() {
            "csv" => Self::Csv(CsvOptions::default()),
            "tsv" => Self::Csv(CsvOptions {
                delimiter: b'\t',
                ..CsvOptions::default()
            }),
            "jsonl" | "ndjson" | "json" => Self::JsonLines,
            "parquet" => Self::Parquet,
            "arrow" | "feather" | "ipc" => Self::Arrow,
            "arrows" => Self::ArrowStream,
            _ => return Err(unknown()),
        };
        format.check_compression(name, compression)?;
        Ok((format, compression))
    }

    /// Refuses what nobody writes.
    pub(crate) fn check_compression(
        &self,
        name: &str,
        compression: Compression,
    ) -> Result<(), Error> {
        if self.is_text() || compression == Compression::None {
            return Ok(());
        }
        let format = self.name();
        Err(Error::Setting(format!(
            "`{name}`: only text is compressed as a whole, and {format} compresses inside; leave `.gz` or `.zst` out"
        )))
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Csv(_) | Self::JsonLines)
    }

    /// For people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Csv(_) => "CSV",
            Self::JsonLines => "JSON lines",
            Self::Parquet => "Parquet",
            Self::Arrow | Self::ArrowStream => "Arrow",
        }
    }

    /// What names of such files end with.
    pub fn extension(&self) -> &'static str {
        match self {
            Self::Csv(_) => "csv",
            Self::JsonLines => "jsonl",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
            Self::ArrowStream => "arrows",
        }
    }
}

impl Compression {
    /// What the end of a name tells.
    pub fn of_name(name: &str) -> Self {
        match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("gz" | "gzip") => Self::Gzip,
            Some("zst" | "zstd") => Self::Zstd,
            _ => Self::None,
        }
    }

    fn strip(self, name: &str) -> &str {
        match self {
            Self::None => name,
            Self::Gzip | Self::Zstd => name.rsplit_once('.').map_or(name, |(inner, _)| inner),
        }
    }
}
