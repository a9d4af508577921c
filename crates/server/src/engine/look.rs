//! What others see of the partitions.

use super::{Engine, lock};
use crate::metrics::Numbers;
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::binding::Binding;
use ringway_core::node::Node;

impl Engine {
    /// Looks at every partition in turn.
    pub fn visit(&self, mut look: impl FnMut(u32, &Node)) {
        for (n, partition) in self.partitions.iter().enumerate() {
            look(n as u32, &lock(&partition.node));
        }
    }

    /// Looks at one partition, which waits for it.
    pub(crate) fn visit_one(&self, number: usize, look: impl FnOnce(&Node)) {
        if let Some(partition) = self.partitions.get(number) {
            look(&lock(&partition.node));
        }
    }

    /// How many partitions there are.
    pub(crate) fn partitions(&self) -> usize {
        self.partitions.len()
    }

    /// Whether any request is still under way, or any answer still awaited.
    pub(crate) fn is_busy(&self) -> bool {
        self.partitions.iter().any(|partition| lock(&partition.node).is_busy())
    }

    /// All numbers of the running server.
    pub fn numbers(&self) -> Numbers {
        let mut numbers = Numbers {
            connections: self.connections.len() as u64,
            uptime_s: self.clock.now().since(self.clock.started()).as_secs(),
            ..Numbers::default()
        };
        numbers.counters.add(&self.given_up());
        self.visit(|_, node| {
            numbers.counters.add(node.counters());
            numbers.census.add(&node.census());
            numbers.registrations += node.registrations() as u64;
        });
        numbers
    }

    /// The bindings of one address-of-record, as a caller would find them.
    pub fn locate(&self, aor: &AddressOfRecord) -> Vec<Binding> {
        let partition = self.place(self.setup.keys.partition_of(aor));
        let node = lock(&self.partitions[partition as usize].node);
        node.locate(aor, self.clock.now())
    }
}
