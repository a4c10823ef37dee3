//! Network namespaces joined by veths, for tests that need real interfaces. All is removed on drop.
#![allow(unsafe_code)]

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    process::{self, Command},
    ptr,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

/// Ethertype of test frames (IEEE 802 local experimental): no stack answers it.
pub(crate) const TEST_ETHERTYPE: [u8; 2] = [0x88, 0xb5];

/// Runs a command and gives its output.
pub(crate) fn run(command: &str) -> io::Result<String> {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output()?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(io::Error::other(format!("{command}: {complaint}")))
    }
}

/// Says why a test is skipped, or fails it when none may be.
pub(crate) fn skip(reason: &str) {
    let test = thread::current().name().unwrap_or("test").to_owned();
    assert!(
        std::env::var("VROUTER_TESTS_REQUIRE").as_deref() != Ok("1"),
        "{test} cannot run: {reason}"
    );
    eprintln!("SKIPPED: {test}: {reason}");
}

/// A namespace.
pub(crate) struct Namespace(String);

impl Namespace {
    fn new() -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("vrt{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        run(&format!("ip netns add {name}"))?;
        Ok(Self(name))
    }

    /// Runs `ip` in it.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        run(&format!("ip -n {} {arguments}", self.0)).unwrap()
    }

    /// Runs a command in it.
    pub(crate) fn exec(&self, command: &str) -> io::Result<String> {
        run(&format!("ip netns exec {} {command}", self.0))
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// Runs `work` on a thread in it.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        enter(&self.0, work)
    }
}

/// Runs `work` on a thread in the namespace of this name.
pub(crate) fn enter<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    let file = File::open(format!("/var/run/netns/{namespace}")).unwrap();
    thread::scope(|scope| {
        let thread = scope.spawn(move || {
            // SAFETY: changes the namespace of this thread alone, which ends with `work`.
            let status = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(status, 0, "{}", io::Error::last_os_error());
            work()
        });
        match thread.join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = run(&format!("ip netns delete {}", self.0));
    }
}

/// Two namespaces and a veth between them: `in0` in `inside` (ours), `out0` in `outside` (the container's, or the wire).
pub(crate) struct Pair {
    pub(crate) inside: Namespace,
    pub(crate) outside: Namespace,
}

impl Pair {
    /// Makes it, up on both ends. `None`, and said so, when it is not permitted.
    pub(crate) fn new() -> Option<Self> {
        Self::with_options("")
    }

    /// As `new`, with options for both ends such as `numrxqueues 2`.
    pub(crate) fn with_options(options: &str) -> Option<Self> {
        // SAFETY: a plain question.
        if unsafe { libc::geteuid() } != 0 {
            skip("needs root");
            return None;
        }
        let (inside, outside) = match (Namespace::new(), Namespace::new()) {
            (Ok(inside), Ok(outside)) => (inside, outside),
            (Err(e), _) | (_, Err(e)) => {
                skip(&format!("needs network namespaces: {e}"));
                return None;
            }
        };
        let (a, b) = (&inside.0, &outside.0);
        inside.ip(&format!(
            "link add in0 {options} type veth peer name out0 {options} netns {b}"
        ));
        for (namespace, end) in [(a, "in0"), (b, "out0")] {
            run(&format!("ip -n {namespace} link set dev {end} up")).unwrap();
            run(&format!("ip -n {namespace} link set dev lo up")).unwrap();
        }
        Some(Self { inside, outside })
    }

    /// Gives the ends addresses of 192.0.2.0/24 and 2001:db8::/64: `.1` inside, `.2` outside.
    pub(crate) fn addresses(&self) {
        for (namespace, end, host) in [(&self.inside, "in0", 1), (&self.outside, "out0", 2)] {
            namespace.ip(&format!("address add 192.0.2.{host}/24 dev {end}"));
            namespace.ip(&format!("address add 2001:db8::{host}/64 dev {end} nodad"));
        }
    }

    /// A raw socket at the outer end.
    pub(crate) fn raw(&self) -> Raw {
        self.outside.enter(|| Raw::open("out0", libc::ETH_P_ALL as u16))
    }

    /// A raw socket at the inner end: sees what reaches the host's stack of this ethertype, behind XDP and all programs.
    pub(crate) fn tap(&self, ethertype: u16) -> Raw {
        self.inside.enter(|| Raw::open("in0", ethertype))
    }
}

/// Sends datagrams of `size` bytes and a shorter one with one call, to be cut by the interface or where they arrive.
pub(crate) fn send_at_once(from: &std::net::UdpSocket, to: std::net::SocketAddr, payload: &[u8], size: u16) {
    let size = libc::c_int::from(size);
    // SAFETY: this option takes a C int.
    let status = unsafe {
        libc::setsockopt(
            from.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_SEGMENT,
            ptr::from_ref(&size).cast(),
            size_of_val(&size) as libc::socklen_t,
        )
    };
    assert_eq!(status, 0, "{}", io::Error::last_os_error());
    assert_eq!(from.send_to(payload, to).unwrap(), payload.len());
}

/// A packet socket bound to one interface.
pub(crate) struct Raw(OwnedFd);

impl Raw {
    fn open(interface: &str, ethertype: u16) -> Self {
        let name = std::ffi::CString::new(interface).unwrap();
        // SAFETY: plain calls with values that live through them; the descriptor is new and ours.
        unsafe {
            let protocol = ethertype.to_be();
            let fd = libc::socket(libc::AF_PACKET, libc::SOCK_RAW, i32::from(protocol));
            assert!(fd >= 0, "{}", io::Error::last_os_error());
            let fd = OwnedFd::from_raw_fd(fd);
            let mut address: libc::sockaddr_ll = std::mem::zeroed();
            address.sll_family = libc::AF_PACKET as u16;
            address.sll_protocol = protocol;
            address.sll_ifindex = libc::if_nametoindex(name.as_ptr()) as i32;
            let status = libc::bind(
                fd.as_raw_fd(),
                ptr::from_ref(&address).cast(),
                size_of_val(&address) as u32,
            );
            assert_eq!(status, 0, "{}", io::Error::last_os_error());
            let bytes: libc::c_int = 64 << 20;
            libc::setsockopt(
                fd.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVBUFFORCE,
                ptr::from_ref(&bytes).cast(),
                4,
            );
            Self(fd)
        }
    }

    /// Sends a frame.
    pub(crate) fn send(&self, frame: &[u8]) {
        // SAFETY: the frame is valid for its length.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        assert_eq!(sent, frame.len() as isize, "{}", io::Error::last_os_error());
    }

    /// The next frame that came from the other end, if one comes within `patience`.
    pub(crate) fn receive(&self, patience: Duration) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 65536];
        loop {
            let mut poll = libc::pollfd {
                fd: self.0.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one valid entry; a valid address and buffer for their lengths.
            let (length, address) = unsafe {
                if libc::poll(&mut poll, 1, patience.as_millis() as i32) <= 0 {
                    return None;
                }
                let mut address: libc::sockaddr_ll = std::mem::zeroed();
                let mut address_length = size_of_val(&address) as u32;
                let length = libc::recvfrom(
                    self.0.as_raw_fd(),
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                    0,
                    ptr::from_mut(&mut address).cast(),
                    &mut address_length,
                );
                (length, address)
            };
            if length > 0 && address.sll_pkttype != libc::PACKET_OUTGOING {
                buffer.truncate(length as usize);
                return Some(buffer);
            }
        }
    }

    /// The next frame with the ethertype of tests.
    pub(crate) fn receive_test_frame(&self, patience: Duration) -> Option<Vec<u8>> {
        loop {
            let frame = self.receive(patience)?;
            if frame.get(12..14) == Some(&TEST_ETHERTYPE) {
                return Some(frame);
            }
        }
    }
}

/// A broadcast frame of `length` bytes with the ethertype of tests and a number.
pub(crate) fn test_frame(number: u32, length: usize) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 9]);
    frame.extend(TEST_ETHERTYPE);
    frame.extend(number.to_be_bytes());
    frame.extend((frame.len()..length).map(|at| at as u8));
    frame
}

/// The number in a test frame.
pub(crate) fn number_of(frame: &[u8]) -> u32 {
    u32::from_be_bytes(frame[14..18].try_into().unwrap())
}

/// The descriptor becomes readable within `patience`.
pub(crate) fn readable(fd: i32, patience: Duration) -> bool {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one valid entry.
    unsafe { libc::poll(&mut poll, 1, patience.as_millis() as i32) == 1 }
}

/// Attaches somebody else's XDP program, "firewall", which passes everything.
pub(crate) fn attach_foreign_program(interface: &str, generic: bool) -> OwnedFd {
    use libbpf_rs::libbpf_sys::{
        BPF_PROG_TYPE_XDP, BPF_XDP, XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE, bpf_insn, bpf_link_create,
        bpf_link_create_opts, bpf_prog_load,
    };
    let instruction = |code, imm| {
        let mut instruction = bpf_insn {
            code,
            imm,
            ..Default::default()
        };
        instruction.set_dst_reg(0);
        instruction
    };
    // r0 = XDP_PASS; exit
    let program = [instruction(0xb7, 2), instruction(0x95, 0)];
    let options = bpf_link_create_opts {
        sz: size_of::<bpf_link_create_opts>() as u64,
        flags: if generic {
            XDP_FLAGS_SKB_MODE
        } else {
            XDP_FLAGS_DRV_MODE
        },
        ..Default::default()
    };
    let name = std::ffi::CString::new(interface).unwrap();
    // SAFETY: all pointers live through the calls; the descriptors are new and ours.
    unsafe {
        let fd = bpf_prog_load(
            BPF_PROG_TYPE_XDP,
            c"firewall".as_ptr(),
            c"GPL".as_ptr(),
            program.as_ptr(),
            program.len() as u64,
            ptr::null_mut(),
        );
        assert!(fd >= 0, "{fd}");
        let fd = OwnedFd::from_raw_fd(fd);
        let index = libc::if_nametoindex(name.as_ptr()) as i32;
        let link = bpf_link_create(fd.as_raw_fd(), index, BPF_XDP, &options);
        assert!(link >= 0, "{link}");
        OwnedFd::from_raw_fd(link)
    }
}
