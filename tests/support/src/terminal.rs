//! A terminal that a test holds the other end of.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::termios::{Winsize, tcsetwinsize};

/// Wide enough for every line that a test looks for.
const SIZE: Winsize = Winsize {
    ws_row: 50,
    ws_col: 200,
    ws_xpixel: 0,
    ws_ypixel: 0,
};

/// The keyboard and screen of a program's terminal. Dropped, the terminal is closed: the program gets SIGHUP.
pub struct Terminal {
    screen: File,
    /// Closed when the terminal is: it tells the reader to let go of the screen too.
    _open: OwnedFd,
    closed: Option<OwnedFd>,
}

/// The program's side of it.
pub(crate) struct Line(File);

/// What reads the screen until the terminal is closed at either end.
pub(crate) struct Screen {
    screen: File,
    closed: OwnedFd,
}

impl Terminal {
    pub(crate) fn open() -> (Self, Line) {
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let screen = posix_openpt(flags).expect("a terminal");
        grantpt(&screen)
            .and_then(|()| unlockpt(&screen))
            .expect("the terminal is ours");
        let name = ptsname_r(&screen).expect("the terminal has a name");
        let screen = OwnedFd::from(screen);
        tcsetwinsize(&screen, SIZE).expect("the terminal has a size");
        let (closed, open) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        let terminal = Self {
            screen: screen.into(),
            _open: open,
            closed: Some(closed),
        };
        (terminal, Line(open_line(&name)))
    }

    /// The reading end, once.
    pub(crate) fn screen(&mut self) -> Screen {
        let screen = self.screen.try_clone().expect("a descriptor is free");
        Screen {
            screen,
            closed: self.closed.take().expect("the screen is read once"),
        }
    }

    /// Ctrl-C.
    pub fn press_interrupt(&mut self) {
        self.press(b"\x03");
    }

    /// Ctrl-Z.
    pub fn press_suspend(&mut self) {
        self.press(b"\x1a");
    }

    fn press(&mut self, key: &[u8]) {
        self.screen.write_all(key).expect("the terminal is open");
    }
}

fn open_line(name: &str) -> File {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = OFlags::NOCTTY.bits().cast_signed();
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(name)
        .expect("the terminal opens")
}

impl Line {
    pub(crate) fn handles(&self) -> [Stdio; 3] {
        [(); 3].map(|()| self.0.try_clone().expect("a descriptor is free").into())
    }
}

impl std::io::Read for Screen {
    /// Nothing more when either end is closed.
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut ends = [
            PollFd::new(&self.screen, PollFlags::IN),
            PollFd::from_borrowed_fd(self.closed.as_fd(), PollFlags::IN),
        ];
        poll(&mut ends, None)?;
        if ends[0].revents().contains(PollFlags::IN) {
            return match rustix::io::read(&self.screen, buffer) {
                Err(Errno::IO) => Ok(0),
                result => Ok(result?),
            };
        }
        Ok(0)
    }
}
