//! The two ends of a channel: how they are made, handed over and opened.

use std::sync::Arc;

use rustix::fd::OwnedFd;

use crate::error::{Error, Fault};
use crate::link::Link;
use crate::memory::{self, Mapping, Writes};
use crate::page::{PAGE_BYTES, Page};
use crate::record::ALIGNMENT;
use crate::region::{Pages, Region};
use crate::ring::{Reader, Start, Writer};
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
    /// When the node is done with it and its answer has come ([`Writer::retain_from`]): what a failure takes is still in the ring, and the
    /// next attempt finds it there.
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
    /// Of the node.
    pub attempt: u32,
}

/// What a node needs to open its end, in this order: the rings to and from it, the pages of host and node, the socket. All of it goes away
/// with the processes that have it.
#[derive(Debug)]
pub struct Descriptors(pub [OwnedFd; DESCRIPTORS]);

/// The end of the task.
#[derive(Debug)]
pub struct HostEnd {
    /// To the node.
    pub input: Writer,
    /// From the node. It may write whatever it likes: take bodies by [`Record::copied`](crate::Record::copied).
    pub output: Reader,
    /// Wakes, and tells when the node is gone.
    pub link: Link,
    setting: Setting,
    /// The ring to the node goes on from one attempt to the next. All that a node can write is new for each.
    input_memory: OwnedFd,
}

/// The end of the node.
#[derive(Debug)]
pub struct NodeEnd {
    /// From the host.
    pub input: Reader,
    /// To the host.
    pub output: Writer,
    /// Wakes, and tells when the host is gone.
    pub link: Link,
    pub(crate) patience: Patience,
}

impl HostEnd {
    /// A channel for the first attempt. All of its memory is there, or it is refused.
    ///
    /// # Errors
    ///
    /// A ring of a size that there is not, too little memory, too few descriptors.
    pub fn new(setting: Setting) -> Result<(Self, Descriptors), Error> {
        check_capacity(setting.input_bytes)?;
        check_capacity(setting.output_bytes)?;
        let (input_memory, mapping) = memory::create("input", setting.input_bytes, Writes::Host)?;
        let attempt = Attempt::new(setting)?;
        let region = region(mapping, setting.input_bytes);
        let (pages, bell) = (attempt.pages.clone(), attempt.link.bell());
        let mut input = Writer::new(region, pages, bell, setting.attempt);
        if setting.retention == Retention::Emitted {
            input.retain_from(0);
        }
        attempt.finish(input, input_memory, Start::default())
    }

    /// The same channel for the next attempt of the node, when the last one is gone. It begins with what was retained.
    ///
    /// # Errors
    ///
    /// As [`HostEnd::new`].
    pub fn renew(self, attempt: u32) -> Result<(Self, Descriptors), Error> {
        let Self {
            mut input,
            setting,
            input_memory,
            ..
        } = self;
        let setting = Setting { attempt, ..setting };
        let attempt = Attempt::new(setting)?;
        let (pages, bell) = (attempt.pages.clone(), attempt.link.bell());
        let start = input.begin_attempt(setting.attempt, pages, bell);
        attempt.finish(input, input_memory, start)
    }
}

/// What is new for an attempt.
struct Attempt {
    setting: Setting,
    output: Region,
    pages: Pages,
    host_page: Arc<Mapping>,
    link: Link,
    host_page_memory: OwnedFd,
    output_memory: OwnedFd,
    node_page_memory: OwnedFd,
    socket: OwnedFd,
}

impl Attempt {
    fn new(setting: Setting) -> Result<Self, Error> {
        let page = PAGE_BYTES as u64;
        let (output_memory, output) = memory::create("output", setting.output_bytes, Writes::Node)?;
        let (host_page_memory, host_page) = memory::create("host page", page, Writes::Host)?;
        let (node_page_memory, node_page) = memory::create("node page", page, Writes::Node)?;
        let host_page = Arc::new(host_page);
        let (link, socket) = Link::pair()?;
        // SAFETY: the page is ours, as long as it says, and nobody else has it yet.
        unsafe { host_page.base().cast::<Page>().write(Page::new(0)) };
        Ok(Self {
            setting,
            output: region(output, setting.output_bytes),
            pages: pages(&host_page, &Arc::new(node_page)),
            host_page,
            link,
            host_page_memory,
            output_memory,
            node_page_memory,
            socket,
        })
    }

    fn finish(
        self,
        input: Writer,
        input_memory: OwnedFd,
        start: Start,
    ) -> Result<(HostEnd, Descriptors), Error> {
        let geometry = Geometry {
            setting: self.setting,
            start,
        };
        // SAFETY: it lies within the page, behind its words, and nobody else has it yet.
        unsafe {
            let place = self.host_page.base().add(GEOMETRY_AT);
            place
                .cast::<[u8; GEOMETRY_BYTES]>()
                .write(geometry.encode());
        }
        let bell = self.link.bell();
        let attempt = self.setting.attempt;
        let output = Reader::new(self.output, self.pages, bell, attempt, Start::default());
        let copy = input_memory
            .try_clone()
            .map_err(|error| Error::system("there is no descriptor for the input", error))?;
        let descriptors = Descriptors([
            copy,
            self.output_memory,
            self.host_page_memory,
            self.node_page_memory,
            self.socket,
        ]);
        let end = HostEnd {
            input,
            output,
            link: self.link,
            setting: self.setting,
            input_memory,
        };
        Ok((end, descriptors))
    }
}

impl NodeEnd {
    /// Opens what a host has handed over. Everything that it says is checked.
    ///
    /// # Errors
    ///
    /// It is no channel, or it cannot be mapped.
    pub fn open(descriptors: Descriptors) -> Result<Self, Error> {
        let [input, output, host_page, node_page, socket] = descriptors.0;
        let page = PAGE_BYTES as u64;
        let host_page = memory::open(&host_page, page, false)?;
        // SAFETY: it lies within the page. It is copied once, and checked then.
        let geometry = unsafe {
            let place = host_page.base().add(GEOMETRY_AT);
            place.cast::<[u8; GEOMETRY_BYTES]>().read_volatile()
        };
        let Geometry { setting, start } = Geometry::decode(&geometry)?;
        let node_page = memory::open(&node_page, page, true)?;
        // SAFETY: the page is as long as it says; only this end writes it.
        unsafe {
            node_page
                .base()
                .cast::<Page>()
                .write(Page::new(start.position));
        };
        let input = memory::open(&input, setting.input_bytes, false)?;
        let output = memory::open(&output, setting.output_bytes, true)?;
        node_page.keep_from_children()?;
        output.keep_from_children()?;
        let pages = pages(&Arc::new(node_page), &Arc::new(host_page));
        let link = Link::new(socket);
        let attempt = setting.attempt;
        let input = region(input, setting.input_bytes);
        let output = region(output, setting.output_bytes);
        Ok(Self {
            input: Reader::new(input, pages.clone(), link.bell(), attempt, start),
            output: Writer::new(output, pages, link.bell(), attempt),
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

fn pages(own: &Arc<Mapping>, peer: &Arc<Mapping>) -> Pages {
    let place = |mapping: &Arc<Mapping>| mapping.base().cast::<Page>();
    // SAFETY: mappings begin at pages and are as long as one; `own` is writable and this end's own.
    unsafe {
        Pages::new(
            place(own),
            place(peer),
            Arc::new((own.clone(), peer.clone())),
        )
    }
}

fn check_capacity(bytes: u64) -> Result<(), Error> {
    let (least, most) = (RING_BYTES_MIN, RING_BYTES_MAX);
    if (least..=most).contains(&bytes) && bytes.is_multiple_of(PAGE_BYTES as u64) {
        Ok(())
    } else {
        Err(Error::Capacity { bytes, least, most })
    }
}

/// What a node has to know before it maps the rings. It stands in the page of the host, behind its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Geometry {
    setting: Setting,
    start: Start,
}

const GEOMETRY_AT: usize = PAGE_BYTES / 2;
const GEOMETRY_BYTES: usize = 64;
const _: () = assert!(size_of::<Page>() <= GEOMETRY_AT);
/// The first bytes; the last of them counts the versions of everything that the two ends share.
const MAGIC: [u8; 8] = *b"FOREBAY\x01";

impl Geometry {
    fn encode(&self) -> [u8; GEOMETRY_BYTES] {
        let mut bytes = [0; GEOMETRY_BYTES];
        let retention = match self.setting.retention {
            Retention::Read => 0_u32,
            Retention::Emitted => 1,
        };
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.setting.input_bytes.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.setting.output_bytes.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.start.position.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.start.sequence.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.setting.attempt.to_le_bytes());
        bytes[44..48].copy_from_slice(&retention.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; GEOMETRY_BYTES]) -> Result<Self, Error> {
        let long = |at: usize| {
            let mut long = [0; 8];
            long.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(long)
        };
        let wrong = |problem: &str| Fault::Geometry(problem.into());
        if bytes[..8] != MAGIC {
            return Err(wrong("it does not begin as one").into());
        }
        let last = long(40);
        let retention = match last >> 32 {
            0 => Retention::Read,
            1 => Retention::Emitted,
            _ => return Err(wrong("its retention is unknown").into()),
        };
        let geometry = Self {
            setting: Setting {
                input_bytes: long(8),
                output_bytes: long(16),
                retention,
                attempt: u32::try_from(last & u64::from(u32::MAX)).unwrap_or(u32::MAX),
            },
            start: Start {
                position: long(24),
                sequence: long(32),
            },
        };
        check_capacity(geometry.setting.input_bytes)?;
        check_capacity(geometry.setting.output_bytes)?;
        let most = u64::MAX - 2 * RING_BYTES_MAX;
        let position = geometry.start.position;
        if !position.is_multiple_of(ALIGNMENT as u64) || position > most {
            return Err(wrong("it begins where no record can").into());
        }
        Ok(geometry)
    }
}

#[cfg(test)]
mod tests;
