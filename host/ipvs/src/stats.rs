//! Counters and rates of a service or a destination. Pure.

use crate::netlink::{Attribute, DecodeError};

/// Traffic since the object was made or last zeroed, and rates the kernel averages over some seconds.
///
/// The kernel sums up every two seconds: the last packets may not be counted yet, and those that
/// weren't when the counters were zeroed show afterwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Packets to clients, where they pass through IPVS.
    pub packets_out: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients, where they pass through IPVS.
    pub bytes_out: u64,
    /// Connections a second.
    pub connection_rate: u64,
    /// Packets a second from clients.
    pub packet_rate_in: u64,
    /// Packets a second to clients.
    pub packet_rate_out: u64,
    /// Bytes a second from clients.
    pub byte_rate_in: u64,
    /// Bytes a second to clients.
    pub byte_rate_out: u64,
    /// How wide the kernel's counters are: with 32 bits, all but the byte counts wrap.
    pub width: CounterWidth,
}

/// Width of the counters that the kernel offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CounterWidth {
    /// Kernels before 4.1.
    #[default]
    Bits32,
    /// Kernel 4.1 and later.
    Bits64,
}

impl Stats {
    /// Reads the attribute that holds the counters; `width` is told by its type.
    pub(crate) fn decode(nest: &Attribute<'_>, width: CounterWidth) -> Result<Self, DecodeError> {
        let mut stats = Self { width, ..Self::default() };
        for attribute in nest.nested() {
            let attribute = attribute?;
            if let Some(field) = stats.field(attribute.kind) {
                *field = attribute.counter("statistics")?;
            }
        }
        Ok(stats)
    }

    /// `IPVS_STATS_ATTR_*`; a later kernel's counters are passed over.
    fn field(&mut self, kind: u16) -> Option<&mut u64> {
        Some(match kind {
            1 => &mut self.connections,
            2 => &mut self.packets_in,
            3 => &mut self.packets_out,
            4 => &mut self.bytes_in,
            5 => &mut self.bytes_out,
            6 => &mut self.connection_rate,
            7 => &mut self.packet_rate_in,
            8 => &mut self.packet_rate_out,
            9 => &mut self.byte_rate_in,
            10 => &mut self.byte_rate_out,
            _ => return None,
        })
    }
}

/// The wider of the two forms that a kernel may send, whichever comes first.
#[derive(Default)]
pub(crate) struct Widest(Stats);

impl Widest {
    pub(crate) fn take(
        &mut self,
        nest: &Attribute<'_>,
        width: CounterWidth,
    ) -> Result<(), DecodeError> {
        if self.0.width == CounterWidth::Bits32 {
            self.0 = Stats::decode(nest, width)?;
        }
        Ok(())
    }

    pub(crate) fn stats(self) -> Stats {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::{Attributes, Writer};

    fn nests(order: [bool; 2]) -> Vec<u8> {
        let mut writer = Writer::default();
        for wide in order {
            writer.nest(if wide { 12 } else { 10 }, |nest| {
                for kind in 1..=10u16 {
                    if wide {
                        nest.bytes(kind, &(u64::from(kind) << 33).to_ne_bytes());
                    } else {
                        nest.u32(kind, kind.into());
                    }
                }
                nest.bytes(11, &[]); // padding
            });
        }
        writer.as_bytes().to_vec()
    }

    fn read(bytes: &[u8]) -> Stats {
        let mut widest = Widest::default();
        for attribute in Attributes::new(bytes).map(Result::unwrap) {
            let width =
                if attribute.kind == 12 { CounterWidth::Bits64 } else { CounterWidth::Bits32 };
            widest.take(&attribute, width).unwrap();
        }
        widest.stats()
    }

    #[test]
    fn the_wider_counters_win_in_any_order() {
        for order in [[false, true], [true, false]] {
            let stats = read(&nests(order));
            assert_eq!((stats.connections, stats.byte_rate_out), (1 << 33, 10 << 33), "{order:?}");
            assert_eq!(stats.width, CounterWidth::Bits64);
        }
    }

    #[test]
    fn an_old_kernel_has_32_bits() {
        let stats = read(&nests([false, false]));
        assert_eq!((stats.connections, stats.width), (1, CounterWidth::Bits32));
    }
}
