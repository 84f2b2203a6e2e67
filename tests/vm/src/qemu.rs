//! QEMU's command line, and its life: it never outlives the process that started it.

use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    io::FdFlags,
    process::{Signal, getpid, getppid},
};

use crate::{
    error::{Error, Result},
    host,
    job::Disk,
};

const PROGRAM: &str = "qemu-system-x86_64";
const POLL: Duration = Duration::from_millis(10);

/// How QEMU runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// The machine's own processor.
    Kvm,
    /// Translated, one host thread a processor.
    Tcg,
    /// Translated, and the guest's clock counts instructions (one is 2^shift ns) and skips idle
    /// time, so that a measurement repeats however busy the machine is. One processor.
    Icount {
        /// Logarithm of an instruction's nanoseconds.
        shift: u8,
    },
}

/// The machine a guest sees.
#[derive(Clone, Debug)]
pub(crate) struct Machine<'a> {
    pub(crate) kernel: &'a Path,
    pub(crate) initramfs: &'a Path,
    pub(crate) append: &'a str,
    pub(crate) disks: &'a [Disk],
    pub(crate) accel: Accel,
    pub(crate) memory: &'a str,
    pub(crate) processors: u8,
    /// Names of virtio-serial ports and where QEMU writes what the guest says on them.
    pub(crate) ports: &'a [(&'static str, String)],
    pub(crate) console: &'a Path,
}

impl Machine<'_> {
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = words(&[
            "-M",
            "q35",
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ]);
        arguments.extend(self.processor());
        arguments.extend(["-m".into(), self.memory.to_owned()]);
        arguments.extend([
            "-kernel".into(),
            text(self.kernel),
            "-initrd".into(),
            text(self.initramfs),
        ]);
        let (limit, append) = (self.limit(), self.append);
        // A busy machine lets an emulated timer look dead: the kernel would panic over it.
        let fixed = "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check";
        let line = format!("{fixed}{limit} {append}");
        arguments.extend(["-append".into(), line.trim_end().to_owned()]);
        arguments.extend(["-serial".into(), format!("file:{}", text(self.console))]);
        arguments.extend(words(&[
            "-device",
            "virtio-rng-pci",
            "-device",
            "virtio-serial-pci,max_ports=8",
        ]));
        for (name, path) in self.ports {
            arguments.extend(["-chardev".into(), format!("file,id={name},path={path}")]);
            arguments
                .extend(["-device".into(), format!("virtserialport,chardev={name},name={name}")]);
        }
        for disk in self.disks {
            arguments.extend(drive(disk));
        }
        arguments
    }

    fn processor(&self) -> Vec<String> {
        let (accel, cpu) = match self.accel {
            Accel::Kvm => (words(&["-accel", "kvm"]), "host"),
            Accel::Tcg => (words(&["-accel", "tcg,thread=multi,tb-size=512"]), "max"),
            Accel::Icount { shift } => {
                let count = format!("shift={shift},sleep=off");
                let mut accel =
                    words(&["-accel", "tcg,thread=single,tb-size=512", "-rtc", "clock=vm"]);
                accel.extend(["-icount".into(), count]);
                (accel, "max")
            }
        };
        let mut arguments = accel;
        let processors = self.processors.to_string();
        arguments.extend(["-cpu".into(), cpu.into(), "-smp".into(), processors]);
        arguments
    }

    /// Where instructions are the time only one processor runs. The kernel has room for the others,
    /// as on a real node: its allocator for memory of each processor costs several times as much
    /// where there can be only one.
    const fn limit(&self) -> &'static str {
        match self.accel {
            Accel::Icount { .. } => " maxcpus=1",
            Accel::Kvm | Accel::Tcg => "",
        }
    }
}

fn drive(disk: &Disk) -> [String; 4] {
    let (id, image) = (&disk.serial, text(&disk.image));
    let snapshot = if disk.throw_away { ",snapshot=on" } else { "" };
    [
        "-drive".into(),
        format!("if=none,id={id},format=raw,cache=unsafe,file={image}{snapshot}"),
        "-device".into(),
        format!("virtio-blk-pci,drive={id},serial={id}"),
    ]
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

/// A path inside one of QEMU's comma-separated options.
fn text(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

/// A running QEMU; killed when dropped.
pub(crate) struct Qemu(Child);

impl Qemu {
    /// Starts it. `inherited` stay open in it, under the same numbers.
    pub(crate) fn start(
        machine: &Machine<'_>,
        inherited: &[BorrowedFd<'_>],
        log: Stdio,
    ) -> Result<Self> {
        let mut command = host::command(PROGRAM);
        command.args(machine.arguments()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = tie_to_us(&mut command, inherited)
            .spawn()
            .map_err(|source| Error::Start { program: PROGRAM.into(), source })?;
        Ok(Self(child))
    }

    /// Waits for its end; `false` when the limit passed first (and it was killed).
    pub(crate) fn wait(&mut self, limit: Duration) -> io::Result<bool> {
        let end = Instant::now() + limit;
        while self.0.try_wait()?.is_none() {
            if Instant::now() >= end {
                self.0.kill()?;
                self.0.wait()?;
                return Ok(false);
            }
            std::thread::sleep(POLL);
        }
        Ok(true)
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // Both fail only when it has ended and been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The kernel kills the child when the thread that started it ends, even by SIGKILL.
#[allow(unsafe_code, reason = "code between fork and exec can't be given in a safe way")]
fn tie_to_us<'c>(command: &'c mut Command, inherited: &[BorrowedFd<'_>]) -> &'c mut Command {
    let us = getpid();
    let inherited: Vec<i32> = inherited.iter().map(AsRawFd::as_raw_fd).collect();
    let before_exec = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if getppid() != Some(us) {
            return Err(io::Error::other("the harness ended while QEMU started"));
        }
        for fd in &inherited {
            // SAFETY: the caller of `start` holds these open until after spawn returns, and a
            // forked child has copies of all of them.
            let fd = unsafe { BorrowedFd::borrow_raw(*fd) };
            rustix::io::fcntl_setfd(fd.as_fd(), FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls only; it neither allocates (but for an error that
    // ends the child) nor takes a lock.
    unsafe { command.pre_exec(before_exec) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(accel: Accel, disks: &[Disk]) -> String {
        let machine = Machine {
            kernel: Path::new("/k"),
            initramfs: Path::new("/i,j"),
            append: "",
            disks,
            accel,
            memory: "2G",
            processors: 2,
            ports: &[("stdout", "/dev/fd/5".into())],
            console: Path::new("/c"),
        };
        machine.arguments().join(" ")
    }

    #[test]
    fn counting_instructions_takes_one_processor_and_a_virtual_clock() {
        let line = line(Accel::Icount { shift: 0 }, &[]);
        for part in
            ["-icount shift=0,sleep=off", "-rtc clock=vm", "-smp 2", "maxcpus=1", "thread=single"]
        {
            assert!(line.contains(part), "{part} in {line}");
        }
        assert!(!self::line(Accel::Tcg, &[]).contains("icount"));
    }

    #[test]
    fn disks_are_found_by_serial_and_commas_in_paths_are_doubled() {
        let disk = |throw_away| Disk {
            image: "/a,b".into(),
            serial: "share0".into(),
            at: "/s".into(),
            throw_away,
        };
        let with = line(Accel::Kvm, &[disk(true)]);
        assert!(
            with.contains(
                "file=/a,,b,snapshot=on -device virtio-blk-pci,drive=share0,serial=share0"
            ),
            "{with}"
        );
        assert!(!line(Accel::Kvm, &[disk(false)]).contains("snapshot"));
        assert!(with.contains("-initrd /i,,j") && with.contains("path=/dev/fd/5"));
    }
}
