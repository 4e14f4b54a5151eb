//! Which fields of kernel structures the kernel side reads. User space looks each up in the running kernel's BTF,
//! checks its width, and hands the offsets over before load: Rust emits no CO-RE relocations, and none is guessed.

use crate::registers::Registers;

/// Value of an offset whose field the running kernel does not have.
pub const ABSENT: u16 = u16::MAX;

/// Where a field is looked up and how wide it must be.
#[derive(Clone, Copy, Debug)]
pub struct FieldSpec {
    /// Name in [`Offsets`].
    pub name: &'static str,
    /// Kernel structure.
    pub structure: &'static str,
    /// Member, dots for members of members; numbers for elements of arrays.
    pub path: &'static str,
    /// Width in bytes.
    pub width: u16,
    /// Whether the main job cannot be done without it.
    pub required: bool,
}

macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident: $structure:literal . $path:expr, $width:literal, $required:literal;)*) => {
        /// Byte offsets of the fields in [`Offsets::FIELDS`], [`ABSENT`] where the kernel has no such field.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Offsets { $($(#[$doc])* pub $name: u16,)* }

        impl Offsets {
            /// All fields, in the order of the structure.
            pub const FIELDS: &'static [FieldSpec] = &[
                $(FieldSpec { name: stringify!($name), structure: $structure, path: $path, width: $width, required: $required },)*
            ];

            /// No field is there.
            pub const ABSENT: Self = Self { $($name: ABSENT,)* };

            /// Sets the field with that name; false if there is none.
            pub fn set(&mut self, name: &str, offset: u16) -> bool {
                match name { $(stringify!($name) => { self.$name = offset; true })* _ => false }
            }
        }
    };
}

offsets! {
    /// Remote IPv4 address.
    daddr: "sock_common"."skc_daddr", 4, true;
    /// Local IPv4 address.
    saddr: "sock_common"."skc_rcv_saddr", 4, true;
    /// Remote port, network order.
    dport: "sock_common"."skc_dport", 2, true;
    /// Local port, host order.
    num: "sock_common"."skc_num", 2, true;
    /// Address family.
    family: "sock_common"."skc_family", 2, true;
    /// TCP state.
    state: "sock_common"."skc_state", 1, true;
    /// Network namespace.
    net: "sock_common"."skc_net", 8, false;
    /// Remote IPv6 address.
    daddr6: "sock_common"."skc_v6_daddr", 16, false;
    /// Local IPv6 address.
    saddr6: "sock_common"."skc_v6_rcv_saddr", 16, false;
    /// Error of the socket.
    sk_err: "sock"."sk_err", 4, true;
    /// Error that does not end the connection.
    sk_err_soft: "sock"."sk_err_soft", 4, false;
    /// What the application closed.
    sk_shutdown: "sock"."sk_shutdown", 1, true;
    /// Queue of ICMP errors.
    sk_error_queue: "sock"."sk_error_queue", 24, false;
    /// Local port, network order; outlives `skc_num`.
    sport: "inet_sock"."inet_sport", 2, false;
    /// Retransmissions in a row.
    icsk_retransmits: "inet_connection_sock"."icsk_retransmits", 1, false;
    /// Zero-window probes in a row.
    icsk_probes: "inet_connection_sock"."icsk_probes_out", 1, false;
    /// Bytes sent.
    bytes_sent: "tcp_sock"."bytes_sent", 8, false;
    /// Bytes acknowledged.
    bytes_acked: "tcp_sock"."bytes_acked", 8, true;
    /// Bytes received.
    bytes_received: "tcp_sock"."bytes_received", 8, true;
    /// First unacknowledged.
    snd_una: "tcp_sock"."snd_una", 4, true;
    /// Next to send.
    snd_nxt: "tcp_sock"."snd_nxt", 4, true;
    /// End of what was written.
    write_seq: "tcp_sock"."write_seq", 4, true;
    /// Next expected.
    rcv_nxt: "tcp_sock"."rcv_nxt", 4, false;
    /// Window that was offered last, from `rcv_wup` on.
    rcv_wnd: "tcp_sock"."rcv_wnd", 4, false;
    /// Next unread.
    copied_seq: "tcp_sock"."copied_seq", 4, false;
    /// Peer's window.
    snd_wnd: "tcp_sock"."snd_wnd", 4, false;
    /// Round-trip time.
    srtt_us: "tcp_sock"."srtt_us", 4, false;
    /// Retransmitted segments.
    total_retrans: "tcp_sock"."total_retrans", 4, false;
    /// Sequence number of the last segment that acknowledged something or changed the window.
    snd_wl1: "tcp_sock"."snd_wl1", 4, false;
    /// What `rcv_nxt` was when a segment was last sent.
    rcv_wup: "tcp_sock"."rcv_wup", 4, false;
    /// Segments with data that were sent.
    data_segs_out: "tcp_sock"."data_segs_out", 4, false;
    /// When the segment was sent that was acknowledged last, or the first of those on the way if none was before it;
    /// microseconds.
    first_tx_mstamp: "tcp_sock"."first_tx_mstamp", 8, false;
    /// When data was last acknowledged, microseconds.
    delivered_mstamp: "tcp_sock"."delivered_mstamp", 8, false;
    /// When data was last sent, in ticks.
    lsndtime: "tcp_sock"."lsndtime", 4, false;
    /// When data last arrived, in ticks.
    lrcvtime: "inet_connection_sock"."icsk_ack.lrcvtime", 4, false;
    /// Socket of a packet.
    skb_sk: "sk_buff"."sk", 8, true;
    /// Device of a packet.
    skb_dev: "sk_buff"."dev", 8, false;
    /// Control block of a packet.
    skb_cb: "sk_buff"."cb", 48, false;
    /// Buffer of a packet.
    skb_head: "sk_buff"."head", 8, false;
    /// Offset of the IP header in that buffer.
    skb_network: "sk_buff"."network_header", 2, false;
    /// Ethernet type of a packet.
    skb_protocol: "sk_buff"."protocol", 2, false;
    /// Interface it came in by.
    skb_iif: "sk_buff"."skb_iif", 4, false;
    /// Connection of a packet that is tracked; its low three bits say where in the connection the packet is.
    skb_nfct: "sk_buff"."_nfct", 8, false;
    /// Both tuples of a tracked connection; the first is that of its first packet, before any translation.
    conn_tuples: "nf_conn"."tuplehash", 112, false;
    /// A tuple among them.
    hash_tuple: "nf_conntrack_tuple_hash"."tuple", 40, false;
    /// Address of the sender.
    tuple_source: "nf_conntrack_tuple"."src.u3", 16, false;
    /// Port of the sender.
    tuple_sport: "nf_conntrack_tuple"."src.u", 2, false;
    /// Address family.
    tuple_family: "nf_conntrack_tuple"."src.l3num", 2, false;
    /// Address of the receiver.
    tuple_target: "nf_conntrack_tuple"."dst.u3", 16, false;
    /// Port of the receiver.
    tuple_dport: "nf_conntrack_tuple"."dst.u", 2, false;
    /// Namespace of a device.
    dev_net: "net_device"."nd_net", 8, false;
    /// Number of a network namespace.
    net_inum: "net"."ns.inum", 4, false;
    /// Thread id.
    task_pid: "task_struct"."pid", 4, true;
    /// Process id.
    task_tgid: "task_struct"."tgid", 4, true;
    /// The kernel's stack of a process; at its top lie the registers with which it entered the kernel.
    task_stack: "task_struct"."stack", 8, false;
    /// `PF_EXITING` and others.
    task_flags: "task_struct"."flags", 4, false;
    /// How a process ended.
    task_exit_code: "task_struct"."exit_code", 4, false;
    /// What the threads of a process share.
    task_signal: "task_struct"."signal", 8, false;
    /// Memory that the OOM killer is after.
    signal_oom_mm: "signal_struct"."oom_mm", 8, false;
    /// Open files of a process.
    task_files: "task_struct"."files", 8, false;
    /// Table of open files.
    files_fdt: "files_struct"."fdt", 8, false;
    /// Array of open files.
    fdt_fd: "fdtable"."fd", 8, false;
    /// Size of that array.
    fdt_max: "fdtable"."max_fds", 4, false;
    /// The socket behind a file.
    file_private: "file"."private_data", 8, false;
    /// The protocol's part of a socket.
    socket_sk: "socket"."sk", 8, false;
    /// Its other half: the descriptor's part of a socket.
    sk_socket: "sock"."sk_socket", 8, false;
    /// Number of a socket in the file system of sockets, which is not used twice; from the socket's begin.
    socket_inode: "socket_alloc"."vfs_inode.i_ino", 8, false;
    /// Name that a unix socket is bound to, if it is.
    unix_addr: "unix_sock"."addr", 8, false;
    /// The other end of a unix connection.
    unix_peer: "unix_sock"."peer", 8, false;
    /// Length of such a name, its family counted.
    unix_name_len: "unix_address"."len", 4, false;
    /// The name: family, then the path.
    unix_name: "unix_address"."name", 0, false;
    /// Stream, datagram ...
    socket_type: "socket"."type", 2, false;
    /// The same, of the protocol's part.
    sk_type: "sock"."sk_type", 2, false;
    /// First argument of a system call: the descriptor of `write`, `sendmsg` and their like.
    regs_descriptor: "pt_regs".(Registers::HERE.first), 8, false;
    /// Second argument: the buffer of `read`, `write`, `recvfrom`, `sendto`.
    regs_buffer: "pt_regs".(Registers::HERE.second), 8, false;
    /// Third argument: the size of that buffer.
    regs_length: "pt_regs".(Registers::HERE.third), 8, false;
    /// Whether these are the registers of a process. Read before 5.15 only.
    regs_mode: "pt_regs".(Registers::HERE.mode), 8, false;
}
