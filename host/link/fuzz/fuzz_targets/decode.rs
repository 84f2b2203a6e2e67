//! Whatever the kernel may send: no datagram makes the decoders or the view panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_link::wire::Messages;
use weir_link::{Event, NodeView, VipRoute};

fuzz_target!(|datagram: &[u8]| {
    let mut view = NodeView::default();
    for message in Messages::new(datagram).flatten() {
        let _ = VipRoute::decode(message.body);
        if let Ok(Some(event)) = Event::decode(&message) {
            view.apply(event);
        }
    }
});
