//! What the kernel tells of one TCP connection, `struct tcp_info`: older kernels give less of it, newer ones more.

/// The part of `struct tcp_info` that a diagnosis uses. What the running kernel does not give is zero or `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpInfo {
    /// Retransmissions of the current segment in a row.
    pub retransmits: u8,
    /// Zero-window probes in a row.
    pub probes: u8,
    /// How often the retransmission timeout was doubled.
    pub backoff: u8,
    /// Current retransmission timeout, microseconds.
    pub rto_us: u32,
    /// Segments sent and not acknowledged.
    pub unacked: u32,
    /// Segments thought lost.
    pub lost: u32,
    /// Segments retransmitted and not acknowledged.
    pub retrans: u32,
    /// Milliseconds since data was last sent; retransmissions count. Never sent: since the handshake.
    pub last_data_sent: u32,
    /// Milliseconds since data last arrived. Never arrived: since the handshake.
    pub last_data_recv: u32,
    /// Milliseconds since an acknowledgement last arrived.
    pub last_ack_recv: u32,
    /// Path MTU.
    pub pmtu: u32,
    /// Smoothed round-trip time, microseconds.
    pub rtt_us: u32,
    /// Retransmissions over the connection's life.
    pub total_retrans: u32,
    /// Bytes acknowledged; the SYN counts as one, later the FIN as another.
    pub bytes_acked: u64,
    /// Bytes received; the FIN counts as one.
    pub bytes_received: u64,
    /// Segments sent.
    pub segs_out: u32,
    /// Segments received.
    pub segs_in: u32,
    /// Bytes written and not sent.
    pub notsent_bytes: u32,
    /// Segments with data received.
    pub data_segs_in: u32,
    /// Segments with data sent.
    pub data_segs_out: u32,
    /// The other side's receive window, bytes (Linux 5.4 and later).
    pub snd_wnd: Option<u32>,
    /// The receive window that this side offered last, bytes (Linux 6.2 and later).
    pub rcv_wnd: Option<u32>,
}

impl TcpInfo {
    /// Reads what is there, however long it is.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let u8_at = |at: usize| bytes.get(at).copied().unwrap_or(0);
        let u32_at = |at: usize| super::u32_at(bytes, at);
        let number = |at: usize| u32_at(at).unwrap_or(0);
        Self {
            retransmits: u8_at(2),
            probes: u8_at(3),
            backoff: u8_at(4),
            rto_us: number(8),
            unacked: number(24),
            lost: number(32),
            retrans: number(36),
            last_data_sent: number(44),
            last_data_recv: number(52),
            last_ack_recv: number(56),
            pmtu: number(60),
            rtt_us: number(68),
            total_retrans: number(100),
            bytes_acked: u64_at(bytes, 120),
            bytes_received: u64_at(bytes, 128),
            segs_out: number(136),
            segs_in: number(140),
            notsent_bytes: number(144),
            data_segs_in: number(152),
            data_segs_out: number(156),
            snd_wnd: u32_at(228),
            rcv_wnd: u32_at(232),
        }
    }

    /// Milliseconds since the segment that is being retransmitted was first sent, if `remaining_ms` is what is left
    /// of the current timeout: the timeouts that have run out, the first of them not doubled, and the running one.
    #[must_use]
    pub fn retransmitting_for_ms(&self, remaining_ms: u64) -> u64 {
        let rto = u64::from(self.rto_us) / 1000;
        let backoff = u32::from(self.backoff.min(31));
        let first = rto >> backoff;
        let undoubled = u64::from(self.retransmits).saturating_sub(u64::from(backoff));
        let doubled = first.saturating_mul((1u64 << backoff) - 1);
        first
            .saturating_mul(undoubled)
            .saturating_add(doubled)
            .saturating_add(rto.saturating_sub(remaining_ms))
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
    word.map_or(0, u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_length_is_read() {
        let bytes: Vec<u8> = (0..=255).collect();
        for length in 0..bytes.len() {
            let info = TcpInfo::parse(&bytes[..length]);
            assert_eq!(info.snd_wnd.is_some(), length >= 232, "{length}");
            assert_eq!(info.rcv_wnd.is_some(), length >= 236, "{length}");
            assert_eq!(info.bytes_received != 0, length >= 136, "{length}");
        }
        let info = TcpInfo::parse(&bytes);
        assert_eq!((info.retransmits, info.probes, info.backoff), (2, 3, 4));
        assert_eq!(info.last_data_recv.to_ne_bytes(), [52, 53, 54, 55]);
        assert_eq!(info.bytes_acked.to_ne_bytes(), [120, 121, 122, 123, 124, 125, 126, 127]);
    }

    #[test]
    fn the_age_of_a_retransmitted_segment() {
        let info =
            |rto_us, retransmits, backoff| TcpInfo { retransmits, backoff, rto_us, ..TcpInfo::default() };
        assert_eq!(info(1_000_000, 0, 0).retransmitting_for_ms(900), 100);
        // 1 s and 2 s have run out, half of 4 s is left.
        assert_eq!(info(4_000_000, 2, 2).retransmitting_for_ms(2000), 5000);
        // Since Linux 6.5 the first SYNs are repeated each second.
        assert_eq!(info(1_000_000, 3, 0).retransmitting_for_ms(400), 3600);
        assert_eq!(info(2_000_000, 5, 1).retransmitting_for_ms(1500), 5500);
        assert!(info(u32::MAX, 255, 255).retransmitting_for_ms(0) > 0);
    }
}
