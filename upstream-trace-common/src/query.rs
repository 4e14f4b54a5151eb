//! How a DNS query of nginx begins; RFC 1035, 4.1.1.

/// Whether these are the first bytes of a query as nginx's resolver sends it: any id, recursion desired, one question,
/// no other records. Tells sockets of the resolver from others.
#[must_use]
#[inline(always)]
pub fn is_query(first: &[u8; 12]) -> bool {
    const HEADER: [u8; 10] = [1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let mut rest = [0; 10];
    rest.copy_from_slice(&first[2..]);
    rest == HEADER
}

/// Whether these are the first bytes of a response that did not fit a datagram: nginx asks again over TCP.
#[must_use]
#[inline(always)]
pub fn is_cut_response(first: &[u8; 12]) -> bool {
    const RESPONSE: u8 = 0x80;
    const CUT: u8 = 0x02;
    first[2] & (RESPONSE | CUT) == RESPONSE | CUT
}

#[cfg(test)]
mod tests {
    use super::{is_cut_response, is_query};

    #[test]
    fn only_a_response_that_says_so_is_cut() {
        let first = |flags| [0x12, 0x34, flags, 0x80, 0, 1, 0, 0, 0, 0, 0, 0];
        assert!(is_cut_response(&first(0x83)) && is_cut_response(&first(0x87)));
        for flags in [0x81, 0x80, 0x03, 0x01, 0] {
            assert!(!is_cut_response(&first(flags)), "{flags:#x}");
        }
    }

    #[test]
    fn only_a_query_as_nginx_sends_it() {
        assert!(is_query(&[0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
        assert!(is_query(&[0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
        for other in [
            // A response, a query with EDNS, two questions, HTTP, nothing.
            [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0],
            [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1],
            [0x12, 0x34, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0],
            *b"GET / HTTP/1",
            [0; 12],
        ] {
            assert!(!is_query(&other), "{other:?}");
        }
    }
}
