//! How plan and control socket get from an agent to `node-exec`: as two descriptors with one byte, so that neither
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
const DESCRIPTORS: usize = 2;
/// Longest plan; an environment holds a few MiB at most.
const PLAN_BYTES_MAX: u64 = 64 << 20;

/// Sends both; the receiver need not have started yet.
pub(crate) fn send(channel: &impl AsFd, plan: &Plan, control: &impl AsFd) -> io::Result<()> {
    let mut file = File::from(memfd_create("forebay-plan", MemfdFlags::CLOEXEC)?);
    file.write_all(&serde_json::to_vec(plan)?)?;
    file.rewind()?;
    let descriptors = [file.as_fd(), control.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
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

/// Blocks until both have come; an error when the agent is gone.
pub(super) fn receive(channel: &impl AsFd) -> io::Result<(Plan, OwnedFd)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
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
    let mut descriptors = ancillary.drain().filter_map(rights).flatten();
    let (Some(plan), Some(control)) = (descriptors.next(), descriptors.next()) else {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "no plan has come",
        ));
    };
    let mut text = Vec::new();
    File::from(plan)
        .take(PLAN_BYTES_MAX)
        .read_to_end(&mut text)?;
    Ok((serde_json::from_slice(&text)?, control))
}

fn rights(message: RecvAncillaryMessage<'_>) -> Option<impl Iterator<Item = OwnedFd> + '_> {
    match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    }
}
