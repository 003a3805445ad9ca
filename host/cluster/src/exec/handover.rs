//! How plan, control socket and channel get from an agent to `node-exec`: as descriptors with one byte, so that neither
//! arguments nor environment ever hold them (both can be read by others), and nothing can arrive half.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::Plan;

/// Plan and control socket.
const ALWAYS: usize = 2;
/// With all of a channel.
const DESCRIPTORS_MAX: usize = 16;
/// Longest plan; an environment holds a few MiB at most.
const PLAN_BYTES_MAX: u64 = 64 << 20;

/// What a node has from its agent, beside its plan.
#[derive(Debug)]
pub(crate) struct Inheritance {
    pub(crate) control: OwnedFd,
    /// Of what feeds it; empty: nobody does.
    pub(crate) feed: Vec<OwnedFd>,
}

/// Sends all of it; the receiver need not have started yet.
pub(crate) fn send(channel: &impl AsFd, plan: &Plan, inheritance: &Inheritance) -> io::Result<()> {
    let mut file = File::from(memfd_create("forebay-plan", MemfdFlags::CLOEXEC)?);
    file.write_all(&serde_json::to_vec(plan)?)?;
    file.rewind()?;
    let mut descriptors = vec![file.as_fd(), inheritance.control.as_fd()];
    descriptors.extend(inheritance.feed.iter().map(AsFd::as_fd));
    if descriptors.len() > DESCRIPTORS_MAX {
        return Err(io::Error::other("a node has too many descriptors"));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(
        channel,
        &[IoSlice::new(&[0])],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Blocks until all of it has come; an error when the agent is gone.
pub(super) fn receive(channel: &impl AsFd) -> io::Result<(Plan, Inheritance)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::CMSG_CLOEXEC;
    rustix::io::retry_on_intr(|| {
        recvmsg(
            channel,
            &mut [IoSliceMut::new(&mut byte)],
            &mut ancillary,
            flags,
        )
    })?;
    let mut descriptors: Vec<OwnedFd> = ancillary.drain().filter_map(rights).flatten().collect();
    let feed = descriptors.split_off(ALWAYS.min(descriptors.len()));
    let Ok([plan, control]) = <[OwnedFd; ALWAYS]>::try_from(descriptors) else {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "no plan has come",
        ));
    };
    let mut text = Vec::new();
    File::from(plan)
        .take(PLAN_BYTES_MAX)
        .read_to_end(&mut text)?;
    let inheritance = Inheritance { control, feed };
    Ok((serde_json::from_slice(&text)?, inheritance))
}

fn rights(message: RecvAncillaryMessage<'_>) -> Option<impl Iterator<Item = OwnedFd> + '_> {
    match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    }
}
