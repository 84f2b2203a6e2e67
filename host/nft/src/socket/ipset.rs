//! The names of ipsets, which rules of iptables refer to. I/O.

use super::{Socket, observe::Request};
use crate::{ObserveError, read, uapi};

impl Socket {
    /// The names of all ipsets of the network namespace, in the kernel's order. Asking loads the module
    /// `ip_set`: where /sys/module/ip_set isn't there are none.
    ///
    /// # Errors
    /// When the kernel can't be asked, or has no ipsets.
    pub fn ipsets(&mut self) -> Result<Vec<String>, ObserveError> {
        self.repeat(|socket| {
            let mut names = Vec::new();
            let (to, flags) = (libc::NFNL_SUBSYS_IPSET, libc::NLM_F_DUMP);
            let request = Request::to(to, uapi::IPSET_CMD_LIST, flags, libc::AF_UNSPEC as u8)
                .plain(uapi::IPSET_ATTR_PROTOCOL, &[uapi::IPSET_PROTOCOL])
                .plain(uapi::IPSET_ATTR_FLAGS, &uapi::IPSET_FLAG_LIST_SETNAME.to_be_bytes());
            socket.ask(request, "ipsets", |_, attrs| {
                names.push(read::ipset(attrs)?);
                Ok(())
            })?;
            Ok(names)
        })
    }
}
