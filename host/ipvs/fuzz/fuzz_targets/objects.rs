//! Attributes of every object: reading never panics, and what was read is written and read alike.
#![no_main]

use ipvs_rs::netlink::{Attributes, Messages, Writer};
use ipvs_rs::{AddressFamily, DestinationEntry, Info, ServiceEntry, Timeouts};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for message in Messages::new(bytes).flatten() {
        let _ = (message.ack(), message.done(), message.attributes().map(Iterator::count));
    }
    let _ = (Info::decode(Attributes::new(bytes)), Timeouts::decode(Attributes::new(bytes)));
    if let Ok(entry) = ServiceEntry::decode(Attributes::new(bytes)) {
        let mut writer = Writer::default();
        entry.service.encode(&mut writer);
        let again = ServiceEntry::decode(Attributes::new(writer.as_bytes())).expect("our own writing");
        assert_eq!(again.service, entry.service);
    }
    if let Ok(entry) = DestinationEntry::decode(Attributes::new(bytes), AddressFamily::V4) {
        let mut writer = Writer::default();
        entry.destination.encode(&mut writer);
        let again = DestinationEntry::decode(Attributes::new(writer.as_bytes()), AddressFamily::V6);
        assert_eq!(again.expect("our own writing").destination, entry.destination);
    }
});
