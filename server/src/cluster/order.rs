//! The messages of one room in the order of their numbers, from wherever they come.
//! In: letters with their numbers, in any order and more than once. Out: each once, in order;
//! whether one is missing that must come from the store.
//! Leaves to others: looking it up (`link`), telling (`hub`).

use crate::letter::Letter;
use std::collections::BTreeMap;

/// Letters that wait for an earlier one; those beyond it are read from the store in their turn.
const HELD: usize = 256;

/// Bytes of them.
const HELD_BYTES: usize = 1 << 20;

/// What waits in one room for an earlier message.
#[derive(Debug, Default)]
pub(crate) struct Order {
    held: BTreeMap<u64, Letter>,
    bytes: usize,
    /// The greatest number that there is, as far as is known.
    known: u64,
    /// Somebody is looking into the store.
    is_looking: bool,
}

impl Order {
    /// Takes a letter in a room that has been told everything up to `seq`. Gives what is due, and
    /// moves `seq` on.
    pub(crate) fn take(&mut self, seq: &mut u64, number: u64, letter: Letter) -> Vec<Letter> {
        self.know(number);
        if number <= *seq {
            return Vec::new();
        }
        if number > *seq + 1 {
            let bytes = letter.bytes();
            if self.held.len() < HELD && self.bytes + bytes <= HELD_BYTES {
                self.bytes += bytes;
                let twice = self.held.insert(number, letter);
                self.bytes -= twice.map_or(0, |one| one.bytes());
            }
            return Vec::new();
        }
        // The one that waited has more than the store keeps, where this one may come from.
        let mut due = vec![self.let_go(number).unwrap_or(letter)];
        *seq = number;
        self.follow(seq, &mut due);
        due
    }

    /// Everything up to `number` has been told or is not there any more. Gives what is due then.
    pub(crate) fn skip(&mut self, seq: &mut u64, number: u64) -> Vec<Letter> {
        self.know(number);
        let mut due = Vec::new();
        while let Some((&first, _)) = self.held.first_key_value()
            && first <= number
        {
            let letter = self.let_go(first);
            due.extend(letter.filter(|_| first > *seq));
            *seq = (*seq).max(first);
        }
        *seq = (*seq).max(number);
        self.follow(seq, &mut due);
        due
    }

    fn follow(&mut self, seq: &mut u64, due: &mut Vec<Letter>) {
        while let Some(letter) = self.let_go(*seq + 1) {
            due.push(letter);
            *seq += 1;
        }
    }

    fn let_go(&mut self, number: u64) -> Option<Letter> {
        let letter = self.held.remove(&number)?;
        self.bytes -= letter.bytes();
        Some(letter)
    }

    /// There is a message of this number.
    pub(crate) fn know(&mut self, number: u64) {
        self.known = self.known.max(number);
    }

    /// The greatest number that there is, as far as is known.
    pub(crate) fn known(&self) -> u64 {
        self.known
    }

    /// The store has nothing behind `seq`, when it is asked with what was known `before`: that was
    /// never kept, or has gone with a store that was restored. What has been heard of since may
    /// still come.
    pub(crate) fn settle(&mut self, seq: u64, before: u64) {
        if self.known == before {
            self.known = seq;
        }
    }

    /// Whether something is missing, and nobody looks for it; from now on somebody does.
    pub(crate) fn begins_to_look(&mut self, seq: u64) -> bool {
        let begins = self.is_missing(seq) && !self.is_looking;
        self.is_looking |= begins;
        begins
    }

    /// Whether there is more than has been told.
    pub(crate) fn is_missing(&self, seq: u64) -> bool {
        self.known > seq
    }

    /// Nobody looks any more.
    pub(crate) fn ends_to_look(&mut self) {
        self.is_looking = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ebbtide_socketio::Frame;

    fn letter(name: &str) -> Letter {
        Letter::event("typing", format!("\"{name}\""))
    }

    fn texts(letters: &[Letter]) -> String {
        let text = |one: &Letter| match &one.frames(0)[..] {
            [Frame::Text(text)] => text.split('"').nth(3).unwrap_or_default().to_owned(),
            frames => panic!("{frames:?}"),
        };
        letters.iter().map(text).collect()
    }

    #[test]
    fn each_comes_once_and_in_order() {
        let (mut order, mut seq) = (Order::default(), 4);
        for (number, name, due, is_missing) in [
            (5, "5", "5", false),
            (5, "again", "", false),
            (8, "8", "", true),
            (7, "7", "", true),
            (6, "6", "678", false),
            (7, "again", "", false),
            (10, "own", "", true),
            (9, "9", "9own", false),
        ] {
            assert_eq!(texts(&order.take(&mut seq, number, letter(name))), due, "{number}");
            assert_eq!(order.is_missing(seq), is_missing, "{number}");
        }
        assert_eq!((seq, order.bytes), (10, 0));
    }

    #[test]
    fn what_is_nowhere_is_passed_over() {
        let (mut order, mut seq) = (Order::default(), 1);
        order.take(&mut seq, 4, letter("4"));
        order.take(&mut seq, 7, letter("7"));
        assert!(order.begins_to_look(seq));
        assert!(!order.begins_to_look(seq), "one looks already");
        assert_eq!(texts(&order.skip(&mut seq, 6)), "47");
        assert_eq!((seq, order.is_missing(seq)), (7, false));
    }

    #[test]
    fn what_the_store_does_not_have_is_not_looked_for_again() {
        let (mut order, mut seq) = (Order::default(), 3);
        order.know(500);
        assert!(order.begins_to_look(seq));
        order.settle(seq, 400);
        assert!(order.is_missing(seq), "something was heard of while it was read");
        order.settle(seq, order.known());
        assert!(!order.is_missing(seq));
        order.ends_to_look();
        assert_eq!(texts(&order.take(&mut seq, 4, letter("4"))), "4");
        order.know(6);
        assert!(order.begins_to_look(seq), "what is new is looked for");
    }

    #[test]
    fn what_waits_is_bounded() {
        let (mut order, mut seq) = (Order::default(), 0);
        for number in 2..1_000 {
            order.take(&mut seq, number, letter("x"));
        }
        assert_eq!((order.held.len(), order.known), (HELD, 999));
        let mut order = Order::default();
        for number in 2..100 {
            order.take(&mut seq, number, letter(&"x".repeat(HELD_BYTES / 10)));
        }
        assert!(order.bytes <= HELD_BYTES);
        assert!(order.is_missing(seq), "the rest is in the store");
    }
}
