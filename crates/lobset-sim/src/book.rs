//! One instrument's order book: queues on a grid of ticks, and the orders that arrive at them.

use dbn::{BidAskPair, UNDEF_PRICE};
use oorandom::Rand64;

/// Queues kept on each side; the record shows the best ten.
const DEPTH: usize = 14;

/// A price level: the orders waiting at one tick.
#[derive(Debug, Clone, Copy)]
struct Queue {
    tick: i64,
    size: u32,
    count: u32,
}

/// The effect of an order, as values of the record's fields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event {
    pub action: u8,
    pub side: u8,
    pub tick: i64,
    pub size: u32,
    pub depth: u8,
}

pub(crate) struct OrderBook {
    /// Best first: falling ticks.
    bids: Vec<Queue>,
    /// Best first: rising ticks.
    asks: Vec<Queue>,
    /// Typical number of orders in a queue.
    crowd: f64,
}

impl OrderBook {
    /// Creates a book around a fair value in ticks.
    pub(crate) fn new(fair: f64, crowd: f64, random: &mut Rand64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a fair value is some thousand ticks")]
        let best_bid = fair.floor() as i64;
        let mut book = Self { bids: Vec::new(), asks: Vec::new(), crowd };
        book.bids.push(book.queue(best_bid, random));
        book.asks.push(book.queue(best_bid + 1, random));
        book.refill(random);
        book
    }

    fn queue(&self, tick: i64, random: &mut Rand64) -> Queue {
        let count = 1 + whole(self.crowd * random.rand_float() * 2.0);
        let size = (0..count).map(|_| order_size(random)).sum();
        Queue { tick, size, count }
    }

    /// Refills both sides to full depth with queues further out.
    fn refill(&mut self, random: &mut Rand64) {
        for (is_bid, step) in [(true, -1), (false, 1)] {
            while self.side(is_bid).len() < DEPTH {
                let last = self.side(is_bid).last().map_or(0, |q| q.tick);
                // Occasionally a tick far out has no orders.
                let gap = if random.rand_float() < 0.05 { 2 } else { 1 };
                let queue = self.queue(last + step * gap, random);
                self.side_mut(is_bid).push(queue);
            }
        }
    }

    fn side(&self, is_bid: bool) -> &[Queue] {
        if is_bid { &self.bids } else { &self.asks }
    }

    fn side_mut(&mut self, is_bid: bool) -> &mut Vec<Queue> {
        if is_bid { &mut self.bids } else { &mut self.asks }
    }

    fn mid(&self) -> f64 {
        (self.bids[0].tick + self.asks[0].tick) as f64 / 2.0
    }

    /// Simulates the arrival of one order. The further the fair value is from the mid price, the more orders lean
    /// towards it. Hidden demand adds orders to one side's queues and keeps orders from leaving them.
    pub(crate) fn step(&mut self, fair: f64, demand: f64, random: &mut Rand64) -> Event {
        let pressure = ((fair - self.mid()) / 4.0).clamp(-1.0, 1.0);
        let lean = 0.2 * demand.clamp(-2.0, 2.0);
        let kind = random.rand_float();
        let event = if kind < 0.09 + 0.16 * pressure.abs() {
            self.trade(random.rand_float() < 0.5 + 0.45 * pressure, random)
        } else if kind < 0.57 {
            self.add(random.rand_float() < 0.5 + 0.3 * pressure + lean, pressure, random)
        } else {
            self.cancel(random.rand_float() < 0.5 - 0.3 * pressure - lean, random)
        };
        self.refill(random);
        event
    }

    /// Simulates a market order, which takes from the best queue of the other side.
    fn trade(&mut self, buys: bool, random: &mut Rand64) -> Event {
        let best = &mut self.side_mut(!buys)[0];
        let wanted = order_size(random) * if random.rand_float() < 0.1 { 5 } else { 1 };
        let size = wanted.min(best.size);
        let tick = best.tick;
        best.size -= size;
        best.count = best.count.saturating_sub(1).clamp(u32::from(best.size > 0), best.size.max(1));
        if best.size == 0 {
            self.side_mut(!buys).remove(0);
        }
        Event { action: b'T', side: if buys { b'B' } else { b'A' }, tick, size, depth: 0 }
    }

    fn add(&mut self, is_bid: bool, lean: f64, random: &mut Rand64) -> Event {
        let size = order_size(random);
        let spread = self.asks[0].tick - self.bids[0].tick;
        let side = if is_bid { b'B' } else { b'A' };
        if spread > 1 && random.rand_float() < 0.3 + 0.5 * lean.abs() {
            let tick = if is_bid { self.bids[0].tick + 1 } else { self.asks[0].tick - 1 };
            // Other orders join before the next message; with a single order, the best price would flicker.
            let others = self.queue(tick, random);
            let queues = self.side_mut(is_bid);
            queues.insert(0, Queue { tick, size: size + others.size, count: others.count + 1 });
            queues.truncate(DEPTH);
            return Event { action: b'A', side, tick, size, depth: 0 };
        }
        let depth = level(random);
        let crowd = self.crowd;
        let queue = &mut self.side_mut(is_bid)[usize::from(depth)];
        // At a long queue, an order is modified instead of added.
        let action = if f64::from(queue.count) > 3.0 * crowd { b'M' } else { b'A' };
        if action == b'A' {
            queue.size += size;
            queue.count += 1;
        } else {
            queue.size = queue.size.saturating_sub(size).max(queue.count);
        }
        Event { action, side, tick: queue.tick, size, depth }
    }

    fn cancel(&mut self, is_bid: bool, random: &mut Rand64) -> Event {
        let depth = level(random);
        let queue = &mut self.side_mut(is_bid)[usize::from(depth)];
        let tick = queue.tick;
        let side = if is_bid { b'B' } else { b'A' };
        if queue.count == 1 && queue.size > 1 && random.rand_float() < 0.8 {
            // The last order in a queue shrinks more often than it leaves.
            queue.size -= 1;
            return Event { action: b'M', side, tick, size: queue.size, depth };
        }
        let size = if queue.count == 1 { queue.size } else { order_size(random).min(queue.size - (queue.count - 1)) };
        queue.size -= size;
        queue.count -= 1;
        if queue.count == 0 {
            self.side_mut(is_bid).remove(usize::from(depth));
        }
        Event { action: b'C', side, tick, size, depth }
    }

    /// The best ten levels of each side in 1e-9 price units.
    pub(crate) fn levels(&self, tick_size: i64) -> [BidAskPair; 10] {
        std::array::from_fn(|i| BidAskPair {
            bid_px: self.bids[i].tick * tick_size,
            ask_px: self.asks[i].tick * tick_size,
            bid_sz: self.bids[i].size,
            ask_sz: self.asks[i].size,
            bid_ct: self.bids[i].count,
            ask_ct: self.asks[i].count,
        })
    }
}

/// Removes one side, as before an opening.
pub(crate) fn empty_side(levels: &mut [BidAskPair; 10], is_bid: bool) {
    for level in levels {
        if is_bid {
            (level.bid_px, level.bid_sz, level.bid_ct) = (UNDEF_PRICE, 0, 0);
        } else {
            (level.ask_px, level.ask_sz, level.ask_ct) = (UNDEF_PRICE, 0, 0);
        }
    }
}

/// The integer part of a non-negative float that fits in 32 bits.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it fits")]
pub(crate) fn whole(float: f64) -> u32 {
    float as u32
}

/// Draws an order size: mostly small, sometimes round.
fn order_size(random: &mut Rand64) -> u32 {
    let kind = random.rand_float();
    if kind < 0.55 {
        1 + below(3, random)
    } else if kind < 0.9 {
        2 + below(9, random)
    } else {
        5 * (1 + below(6, random))
    }
}

/// Draws a number below `end`.
#[expect(clippy::cast_possible_truncation, reason = "it is below a 32-bit number")]
fn below(end: u32, random: &mut Rand64) -> u32 {
    random.rand_range(0..end.into()) as u32
}

/// Draws a level, more often near the best than far from it.
fn level(random: &mut Rand64) -> u8 {
    let (a, b) = (random.rand_float(), random.rand_float());
    whole(a * b * 12.0).min(9) as u8
}
