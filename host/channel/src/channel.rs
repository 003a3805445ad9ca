//! The two ends of a channel: how they are made, handed over and opened.

use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use rustix::fd::OwnedFd;
use rustix::io::{FdFlags, fcntl_setfd};

use crate::error::{Error, Fault};
use crate::gauge::Gauge;
use crate::layout::{self, u32_at, u64_at};
use crate::link::{HangUp, Link};
use crate::memory::{self, Mapping, Writes};
use crate::page::{PAGE_BYTES, Page};
use crate::record::ALIGNMENT;
use crate::region::{Pages, Region};
use crate::ring::{Reader, Retained, Start, UntrustedReader, Writer};
use crate::wait::Patience;

/// The smallest ring: 16 KiB.
pub const RING_BYTES_MIN: u64 = 16 << 10;
/// The largest ring: 4 GiB.
pub const RING_BYTES_MAX: u64 = 4 << 30;

/// Descriptors of a channel that a node gets.
pub const DESCRIPTORS: usize = 5;

/// When the place of a record in the ring to the node is free again. Fixed when the ring is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// As soon as the node is done with it: what a failure takes is read from the sources again.
    Read,
    /// When the node is done with it and its answer has come ([`Writer::answered`]): what a failure takes is still in the ring, and the next
    /// attempt finds it there. A node that wants more records than the ring has before it answers one waits for ever.
    Emitted,
}

/// What a channel is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Of the ring to the node: from [`RING_BYTES_MIN`] to [`RING_BYTES_MAX`], a multiple of 4096.
    pub input_bytes: u64,
    /// Of the ring from the node, likewise.
    pub output_bytes: u64,
    /// Of the ring to the node.
    pub retention: Retention,
}

/// What a node needs to open its end, in this order: the rings to and from it, the pages of host and node, the socket. All of it goes away
/// with the processes that have it. A host that keeps its copies when the node has its own does not see the node hang up.
#[derive(Debug)]
pub struct Descriptors(pub [OwnedFd; DESCRIPTORS]);

/// A channel between two attempts of its node: the ring to the node, which goes on from one to the next. All that a node can write is new for
/// each.
pub struct Channel {
    input: Writer,
    input_memory: OwnedFd,
    setting: Setting,
    results: Option<Arc<[u8]>>,
}

/// Why there are no ends, and the channel as it was.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct BeginError {
    /// With all that it retains.
    pub channel: Box<Channel>,
    /// Why.
    #[source]
    pub error: Error,
}

/// The end of the task, for one attempt of the node.
#[derive(Debug)]
pub struct HostEnd {
    /// To the node.
    pub input: Writer,
    /// From the node, which may write whatever it likes.
    pub output: UntrustedReader,
    /// Wakes, and tells when the node is gone. One thread or task sleeps on it at a time, for both directions.
    pub link: Link,
    setting: Setting,
    results: Option<Arc<[u8]>>,
    gauge: Gauge,
    input_memory: OwnedFd,
    _hang_up: HangUp,
}

/// The end of the node.
#[derive(Debug)]
pub struct NodeEnd {
    /// From the host.
    pub input: Reader,
    /// To the host.
    pub output: Writer,
    /// Number and body of the schema of records that come before any schema record; `None`: there are no such records.
    pub schema: Option<(u32, Vec<u8>)>,
    /// The schema of what it answers with, as the body of a schema record; `None`: it answers nothing.
    pub results: Option<Arc<[u8]>>,
    /// Wakes, and tells when the host is gone. One thread sleeps on it at a time, for both directions.
    pub link: Link,
    pub(crate) patience: Patience,
    pub(crate) hang_up: HangUp,
}

impl Channel {
    /// All of its memory is there, or it is refused.
    ///
    /// # Errors
    ///
    /// A ring of a size that there is not, too little memory, too few descriptors.
    pub fn new(setting: Setting) -> Result<Self, Error> {
        check_capacity(setting.input_bytes)?;
        check_capacity(setting.output_bytes)?;
        let (input_memory, mapping) = memory::create("input", setting.input_bytes, Writes::Host)?;
        let region = region(mapping, setting.input_bytes);
        let retained = (setting.retention == Retention::Emitted).then(Retained::default);
        Ok(Self {
            input: Writer::new(region, Pages::of_nobody(), Arc::new(|| ()), 0, retained),
            input_memory,
            setting,
            results: None,
        })
    }

    /// The node answers rows, with records of this schema: the body of a schema record. Its own need none before them.
    #[must_use]
    pub fn with_results(self, schema: &[u8]) -> Self {
        Self {
            results: Some(schema.into()),
            ..self
        }
    }

    /// Both ends for an attempt of the node; there is none other. It begins with what is retained.
    ///
    /// # Errors
    ///
    /// Too little memory, too few descriptors: it can be tried again.
    pub fn begin(mut self, attempt: u32) -> Result<(HostEnd, Descriptors), BeginError> {
        let made = Attempt::new(
            &self.setting,
            attempt,
            self.input.start(),
            self.results.clone(),
            &self.input_memory,
        );
        let made = match made {
            Ok(made) => made,
            Err(error) => {
                let channel = Box::new(self);
                return Err(BeginError { channel, error });
            }
        };
        let (pages, bell) = (made.pages.clone(), made.link.bell());
        let gauge = Gauge::new(pages.clone(), self.setting);
        self.input
            .begin_attempt(attempt, pages.clone(), bell.clone());
        let output = Reader::new(made.output, pages, bell, attempt, &Start::default());
        let end = HostEnd {
            input: self.input,
            output: UntrustedReader::new(output),
            _hang_up: HangUp(made.link.clone()),
            link: made.link,
            setting: self.setting,
            results: self.results,
            gauge,
            input_memory: self.input_memory,
        };
        Ok((end, made.descriptors))
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Channel")
            .field(&self.setting)
            .finish()
    }
}

impl HostEnd {
    /// To look at the channel from elsewhere.
    pub fn gauge(&self) -> Gauge {
        self.gauge.clone()
    }

    /// The attempt is over: its node is gone, or nobody listens to it any more. What it held of this end's memory is given up.
    pub fn retire(self) -> Channel {
        let Self {
            mut input,
            setting,
            results,
            input_memory,
            ..
        } = self;
        input.rest();
        Channel {
            input,
            input_memory,
            setting,
            results,
        }
    }
}

/// What is new for an attempt.
struct Attempt {
    output: Region,
    pages: Pages,
    link: Link,
    descriptors: Descriptors,
}

impl Attempt {
    fn new(
        setting: &Setting,
        number: u32,
        start: Start,
        results: Option<Arc<[u8]>>,
        input: &OwnedFd,
    ) -> Result<Self, Error> {
        let page = PAGE_BYTES as u64;
        let position = start.position;
        let geometry = Geometry {
            setting: *setting,
            attempt: number,
            start,
            results,
        };
        let host_bytes = geometry.page_bytes();
        let (output_memory, output) = memory::create("output", setting.output_bytes, Writes::Node)?;
        let (host_memory, host_page) = memory::create("host page", host_bytes, Writes::Host)?;
        let (node_memory, node_page) = memory::create("node page", page, Writes::Node)?;
        let (link, socket) = Link::pair()?;
        let input = input
            .try_clone()
            .map_err(|error| Error::system("there is no descriptor for the input", error))?;
        // SAFETY: both are ours, as long as they say, and nobody else has them yet.
        unsafe {
            host_page.base().cast::<Page>().write(Page::new(0));
            node_page.base().cast::<Page>().write(Page::new(position));
        }
        geometry.write(&host_page);
        Ok(Self {
            output: region(output, setting.output_bytes),
            pages: pages(host_page, node_page),
            link,
            descriptors: Descriptors([input, output_memory, host_memory, node_memory, socket]),
        })
    }
}

impl NodeEnd {
    /// Opens what a host has handed over. Everything that it says is checked.
    ///
    /// # Errors
    ///
    /// It is no channel, or it cannot be mapped.
    pub fn open(descriptors: Descriptors) -> Result<Self, Error> {
        for descriptor in &descriptors.0 {
            // Programs that this process starts would keep the channel open.
            fcntl_setfd(descriptor, FdFlags::CLOEXEC)
                .map_err(|error| Error::system("cannot keep the channel from children", error))?;
        }
        let [input, output, host_page, node_page, socket] = descriptors.0;
        let host_page = memory::open_any(&host_page, PAGE_BYTES as u64)?;
        let Geometry {
            setting,
            attempt,
            start,
            results,
        } = Geometry::read(&host_page)?;
        let node_page = memory::open(&node_page, PAGE_BYTES as u64, true)?;
        let input = memory::open(&input, setting.input_bytes, false)?;
        let output = memory::open(&output, setting.output_bytes, true)?;
        node_page.keep_from_children()?;
        output.keep_from_children()?;
        let pages = pages(node_page, host_page);
        let link = Link::new(socket);
        let input = region(input, setting.input_bytes);
        let output = region(output, setting.output_bytes);
        Ok(Self {
            input: Reader::new(input, pages.clone(), link.bell(), attempt, &start),
            output: Writer::new(output, pages, link.bell(), attempt, None),
            schema: start.schema,
            results,
            hang_up: HangUp(link.clone()),
            link,
            patience: Patience::default(),
        })
    }
}

/// All of a mapping, as a ring.
fn region(mapping: Mapping, bytes: u64) -> Region {
    let (base, owner) = (mapping.base(), Arc::new(mapping));
    // SAFETY: a mapping begins at a page and was made this long; it stays as long as its owner. It is shared by the two ends alone.
    unsafe { Region::new(base, bytes, owner) }
}

/// The pages of one end.
fn pages(own: Mapping, peer: Mapping) -> Pages {
    let places = [&own, &peer].map(|mapping| mapping.base().cast::<Page>());
    let [of_own, of_peer] = places;
    // SAFETY: mappings begin at pages and are as long as one; `own` is writable and this end's own.
    unsafe { Pages::new(of_own, of_peer, Arc::new((own, peer))) }
}

fn check_capacity(bytes: u64) -> Result<(), Error> {
    let (least, most) = (RING_BYTES_MIN, RING_BYTES_MAX);
    if (least..=most).contains(&bytes) && bytes.is_multiple_of(PAGE_BYTES as u64) {
        Ok(())
    } else {
        Err(Error::Capacity { bytes, least, most })
    }
}

/// What a node has to know before it maps the rings. It stands in the memory of the host's page, behind its words; the bodies of the schemas
/// stand behind that page, that of what comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Geometry {
    setting: Setting,
    attempt: u32,
    start: Start,
    results: Option<Arc<[u8]>>,
}

const GEOMETRY_AT: usize = PAGE_BYTES / 2;
const GEOMETRY_BYTES: usize = 72;
const _: () = assert!(size_of::<Page>() <= GEOMETRY_AT);
/// The first bytes; the last of them counts the versions of everything that the two ends share.
const MAGIC: [u8; 8] = *b"FOREBAY\x01";
/// No position or number grows so far.
const COUNT_MAX: u64 = 1 << 62;
/// Of [`Geometry`]: no schema.
const NO_SCHEMA: u32 = u32::MAX;
/// Of [`Geometry`]: nothing is answered.
const NO_RESULTS: u64 = u64::MAX;

/// How long the schemas are, whose bodies stand behind the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bodies {
    /// With its number.
    schema: Option<(u32, usize)>,
    results: Option<usize>,
}

impl Geometry {
    /// What stands behind the page.
    fn bodies(&self) -> impl Iterator<Item = &[u8]> {
        let schema = self.start.schema.as_ref().map(|(_, body)| &body[..]);
        schema.into_iter().chain(self.results.as_deref())
    }

    /// Of the memory that it stands in.
    fn page_bytes(&self) -> u64 {
        let bytes = PAGE_BYTES + self.bodies().map(<[u8]>::len).sum::<usize>();
        bytes.next_multiple_of(PAGE_BYTES) as u64
    }

    /// Into memory of [`Geometry::page_bytes`] that nobody else has yet.
    fn write(&self, memory: &Mapping) {
        let encoded = self.encode();
        let base = memory.base();
        let mut at = PAGE_BYTES;
        // SAFETY: all lie within the memory, behind its words.
        unsafe {
            base.add(GEOMETRY_AT)
                .copy_from_nonoverlapping(NonNull::from(&encoded).cast(), GEOMETRY_BYTES);
            for body in self.bodies() {
                base.add(at)
                    .copy_from_nonoverlapping(NonNull::from(body).cast(), body.len());
                at += body.len();
            }
        }
    }

    /// Copied once, and checked then.
    fn read(memory: &Mapping) -> Result<Self, Error> {
        let mut encoded = [0; GEOMETRY_BYTES];
        memory.copy_to(GEOMETRY_AT, &mut encoded);
        let (mut geometry, bodies) = Self::decode(&encoded)?;
        let mut at = PAGE_BYTES;
        let mut next = |bytes: usize| {
            if bytes > memory.bytes() - at {
                return Err(wrong("its schema goes over the end of its page"));
            }
            let mut body = vec![0; bytes];
            memory.copy_to(at, &mut body);
            at += bytes;
            Ok(body)
        };
        if let Some((number, bytes)) = bodies.schema {
            geometry.start.schema = Some((number, next(bytes)?));
        }
        if let Some(bytes) = bodies.results {
            geometry.results = Some(next(bytes)?.into());
        }
        Ok(geometry)
    }

    fn encode(&self) -> [u8; GEOMETRY_BYTES] {
        let mut bytes = [0; GEOMETRY_BYTES];
        let mut put = |at, value: &[u8]| layout::put(&mut bytes, at, value);
        let retention = match self.setting.retention {
            Retention::Read => 0_u32,
            Retention::Emitted => 1,
        };
        let schema = self.start.schema.as_ref();
        let (schema, length) =
            schema.map_or((NO_SCHEMA, 0), |(number, body)| (*number, body.len()));
        put(0, &MAGIC);
        put(8, &self.setting.input_bytes.to_le_bytes());
        put(16, &self.setting.output_bytes.to_le_bytes());
        put(24, &self.start.position.to_le_bytes());
        put(32, &self.start.sequence.to_le_bytes());
        put(40, &self.attempt.to_le_bytes());
        put(44, &retention.to_le_bytes());
        put(48, &schema.to_le_bytes());
        put(56, &(length as u64).to_le_bytes());
        let results = self.results.as_ref();
        let results = results.map_or(NO_RESULTS, |body| body.len() as u64);
        put(64, &results.to_le_bytes());
        bytes
    }

    /// Without the schemas, and how long these are.
    fn decode(bytes: &[u8; GEOMETRY_BYTES]) -> Result<(Self, Bodies), Error> {
        if bytes[..8] != MAGIC {
            return Err(wrong("it does not begin as one"));
        }
        let retention = match u32_at(bytes, 44) {
            0 => Retention::Read,
            1 => Retention::Emitted,
            _ => return Err(wrong("its retention is unknown")),
        };
        let setting = Setting {
            input_bytes: u64_at(bytes, 8),
            output_bytes: u64_at(bytes, 16),
            retention,
        };
        check_capacity(setting.input_bytes)?;
        check_capacity(setting.output_bytes)?;
        let start = Start {
            position: u64_at(bytes, 24),
            sequence: u64_at(bytes, 32),
            schema: None,
        };
        let is_place = start.position.is_multiple_of(ALIGNMENT as u64);
        if !is_place || start.position.max(start.sequence) > COUNT_MAX {
            return Err(wrong("it begins where no record can"));
        }
        let length =
            |at| usize::try_from(u64_at(bytes, at)).map_err(|_| wrong("its schema is too long"));
        let number = u32_at(bytes, 48);
        let bodies = Bodies {
            schema: (number != NO_SCHEMA)
                .then(|| Ok::<_, Error>((number, length(56)?)))
                .transpose()?,
            results: (u64_at(bytes, 64) != NO_RESULTS)
                .then(|| length(64))
                .transpose()?,
        };
        let geometry = Self {
            setting,
            attempt: u32_at(bytes, 40),
            start,
            results: None,
        };
        Ok((geometry, bodies))
    }
}

fn wrong(problem: &str) -> Error {
    Fault::Geometry(problem.into()).into()
}

#[cfg(test)]
mod tests;
