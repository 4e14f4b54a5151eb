//! How the interfaces of a network namespace are joined to each other and to those of other namespaces.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};

use super::Error;
use super::route::Routes;

/// An interface, as far as it says where its packets go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its link-layer address, if that has six bytes.
    pub address: Option<[u8; 6]>,
    /// Index of the other end of a pair, or of the interface below; `None` if there is none.
    pub beyond: Option<u32>,
    /// The namespace which that is in, as the number that this namespace has for it; `None` for this namespace itself.
    pub beyond_in: Option<i32>,
    /// Index of the bridge that it is a port of, or of what else controls it.
    pub controller: Option<u32>,
}

impl Link {
    fn of(message: &LinkMessage) -> Self {
        let mut link = Self { index: message.header.index, ..Self::default() };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::Address(bytes) => link.address = bytes.as_slice().try_into().ok(),
                LinkAttribute::Link(index) => link.beyond = Some(*index).filter(|index| *index != 0),
                LinkAttribute::LinkNetNsId(id) => link.beyond_in = Some(*id).filter(|id| *id >= 0),
                LinkAttribute::Controller(index) => {
                    link.controller = Some(*index).filter(|index| *index != 0);
                }
                _ => {}
            }
        }
        link
    }
}

impl Routes {
    /// The interface with this index.
    pub fn link_of(&mut self, ifindex: u32) -> Result<Link, Error> {
        self.link_message(ifindex).map(|message| Link::of(&message))
    }

    /// The interfaces with this link-layer address whose packets come from another namespace.
    pub fn links_to_others(&mut self, address: [u8; 6]) -> Result<Vec<Link>, Error> {
        let request = RouteNetlinkMessage::GetLink(without_statistics(LinkMessage::default()));
        self.0.dump(&request, |message| {
            let RouteNetlinkMessage::NewLink(message) = message else { return None };
            Some(Link::of(&message)).filter(|link| link.address == Some(address) && link.beyond_in.is_some())
        })
    }

    /// The number that this namespace has for another one; `None` if it has none: no interface of it leads there.
    pub fn number_of(&mut self, namespace: BorrowedFd<'_>) -> Result<Option<i32>, Error> {
        let mut request = NsidMessage::default();
        let descriptor = u32::try_from(namespace.as_raw_fd()).map_err(|_| Error::Malformed)?;
        request.attributes.push(NsidAttribute::Fd(descriptor));
        let RouteNetlinkMessage::NewNsId(reply) = self.0.one(RouteNetlinkMessage::GetNsId(request))? else {
            return Err(Error::Malformed);
        };
        Ok(reply.attributes.into_iter().find_map(|attribute| match attribute {
            NsidAttribute::Id(id) if id >= 0 => Some(id),
            _ => None,
        }))
    }

    pub(super) fn link_message(&mut self, ifindex: u32) -> Result<LinkMessage, Error> {
        let mut request = without_statistics(LinkMessage::default());
        request.header.index = ifindex;
        match self.0.one(RouteNetlinkMessage::GetLink(request))? {
            RouteNetlinkMessage::NewLink(reply) => Ok(reply),
            _ => Err(Error::Malformed),
        }
    }
}

fn without_statistics(mut request: LinkMessage) -> LinkMessage {
    request.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    request
}
