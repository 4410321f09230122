//! Our own addresses as text, for Via and Record-Route.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

/// The addresses whose text is remembered; an element has few.
const REMEMBERED: usize = 16;

/// The texts of our addresses, so that the same few are not written anew for each message.
#[derive(Debug, Default)]
pub(super) struct OwnAddresses {
    known: RefCell<Vec<(SocketAddr, Rc<str>)>>,
}

impl OwnAddresses {
    /// `host:port`, an IPv6 address in brackets.
    pub(super) fn text(&self, address: SocketAddr) -> Rc<str> {
        let mut known = self.known.borrow_mut();
        if let Some((_, text)) = known.iter().find(|(it, _)| *it == address) {
            return text.clone();
        }
        if known.len() == REMEMBERED {
            known.remove(0);
        }
        let text: Rc<str> = address.to_string().into();
        known.push((address, text.clone()));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_has_its_text_however_many_there_are() {
        let addresses = OwnAddresses::default();
        for _ in 0..2 {
            for port in 1..=2 * REMEMBERED as u16 {
                let address = SocketAddr::from(([192, 0, 2, 1], port));
                assert_eq!(*addresses.text(address), *format!("192.0.2.1:{port}"));
            }
        }
        let six = "[2001:db8::1]:5060".parse().unwrap();
        assert_eq!(&*addresses.text(six), "[2001:db8::1]:5060");
        assert_eq!(addresses.known.borrow().len(), REMEMBERED);
    }
}
