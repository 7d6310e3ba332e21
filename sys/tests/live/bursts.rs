//! Bursts against a `Vec` that does the same: the same packets in the same order, and none lost.

use dpdk_sys::{BURST_PACKETS, Burst, Mempool};
use proptest::prelude::*;

use crate::environment::{on_registered_thread, pool};

#[derive(Clone, Debug)]
enum Operation {
    Push,
    Pop,
    SwapRemove(usize),
    Retain(u32),
    MoveIf(u32),
    Append,
    Truncate(usize),
    Drain(usize),
    Exchange,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        8 => Just(Operation::Push),
        1 => Just(Operation::Pop),
        1 => (0..BURST_PACKETS + 2).prop_map(Operation::SwapRemove),
        1 => (1..5_u32).prop_map(Operation::Retain),
        2 => (1..5_u32).prop_map(Operation::MoveIf),
        1 => Just(Operation::Append),
        1 => (0..BURST_PACKETS + 2).prop_map(Operation::Truncate),
        1 => (0..BURST_PACKETS).prop_map(Operation::Drain),
        2 => Just(Operation::Exchange),
    ]
}

/// Two bursts and their models; operations work on the first, or from the first to the second.
#[derive(Default)]
struct Pair {
    bursts: [Burst; 2],
    models: [Vec<u32>; 2],
    next: u32,
}

fn number(packet: &dpdk_sys::Mbuf) -> u32 {
    u32::from_ne_bytes(packet.data().try_into().expect("four bytes"))
}

impl Pair {
    fn apply(&mut self, operation: &Operation, pool: &Mempool) {
        let ([burst, other], [model, other_model]) = (&mut self.bursts, &mut self.models);
        match *operation {
            Operation::Push => {
                self.next += 1;
                let pushed = burst.push(pool.take_copy(&self.next.to_ne_bytes()).expect("a packet"));
                assert_eq!(pushed.is_ok(), model.len() < BURST_PACKETS);
                if pushed.is_ok() {
                    model.push(self.next);
                }
            }
            Operation::Pop => assert_eq!(burst.pop().as_ref().map(number), model.pop()),
            Operation::SwapRemove(index) => {
                let removed = (index < model.len()).then(|| model.swap_remove(index));
                assert_eq!(burst.swap_remove(index).as_ref().map(number), removed);
            }
            Operation::Retain(divisor) => {
                burst.retain(|packet| number(packet).is_multiple_of(divisor));
                model.retain(|number| number.is_multiple_of(divisor));
            }
            Operation::MoveIf(divisor) => {
                burst.move_if(other, |packet| number(packet).is_multiple_of(divisor));
                let mut stay = Vec::new();
                for number in model.drain(..) {
                    let picked = number.is_multiple_of(divisor) && other_model.len() < BURST_PACKETS;
                    if picked { other_model.push(number) } else { stay.push(number) }
                }
                *model = stay;
            }
            Operation::Append => {
                other.append(burst);
                let room = BURST_PACKETS - other_model.len();
                other_model.extend(model.drain(..model.len().min(room)));
            }
            Operation::Truncate(len) => {
                burst.truncate(len);
                model.truncate(len);
            }
            Operation::Drain(count) => {
                let taken: Vec<_> = burst.drain().take(count).map(|packet| number(&packet)).collect();
                assert_eq!(taken, model.drain(..).take(count).collect::<Vec<_>>());
            }
            Operation::Exchange => {
                self.bursts.swap(0, 1);
                self.models.swap(0, 1);
            }
        }
        for (burst, model) in self.bursts.iter().zip(&self.models) {
            assert_eq!(&burst.iter().map(number).collect::<Vec<_>>(), model, "after {operation:?}");
            assert_eq!(
                (burst.free_slots(), burst.is_full()),
                (BURST_PACKETS - model.len(), model.len() == BURST_PACKETS)
            );
        }
    }
}

#[test]
fn burst_behaves_like_a_vec_and_leaks_nothing() {
    on_registered_thread(|| {
        let pool = pool("model");
        let config = ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() };
        proptest!(config, |(operations in prop::collection::vec(operation(), 0..300))| {
            let mut pair = Pair::default();
            for operation in &operations {
                pair.apply(operation, &pool);
            }
            let live: usize = pair.models.iter().map(Vec::len).sum();
            prop_assert_eq!(usize::try_from(pool.in_use()).expect("small"), live);
            drop(pair);
            prop_assert_eq!(pool.in_use(), 0);
        });
    });
}

#[test]
fn panic_while_sifting_frees_no_packet_twice() {
    on_registered_thread(|| {
        let pool = pool("panic");
        let (mut burst, mut picked) = (Burst::new(), Burst::new());
        assert!(pool.fill(&mut burst, 8));
        let mut seen = 0;
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            burst.move_if(&mut picked, |_| {
                seen += 1;
                assert!(seen < 4, "the fourth packet is too much");
                seen == 2
            });
        }));
        assert!(outcome.is_err());
        assert_eq!((burst.len(), picked.len()), (2, 1));
        drop((burst, picked));
        assert_eq!(pool.in_use(), 4, "those that were not seen are leaked, as documented");
    });
}
