//! Things kept in numbered places; the number of a thing that is gone is never valid again.

use alloc::vec::Vec;
use core::marker::PhantomData;

/// Names a thing in an [`Arena`]: its place and how often the place was used before.
pub(crate) struct Id<T> {
    bits: u64,
    kind: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    /// As one number.
    pub(crate) const fn bits(self) -> u64 {
        self.bits
    }

    /// From a number that may have come from outside: looking it up is always safe.
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self { bits, kind: PhantomData }
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bits == other.bits
    }
}
impl<T> Eq for Id<T> {}
impl<T> core::fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "#{:x}", self.bits)
    }
}

#[derive(Debug)]
struct Place<T> {
    used: u32,
    thing: Option<T>,
}

/// The places.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

impl<T> Arena<T> {
    pub(crate) const fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }

    /// How many things there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Keeps `thing`.
    pub(crate) fn insert(&mut self, thing: T) -> Id<T> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.places.push(Place { used: 0, thing: None });
                (self.places.len() - 1) as u32
            }
        };
        let place = &mut self.places[slot as usize];
        place.used = place.used.wrapping_add(1);
        place.thing = Some(thing);
        Id::from_bits(u64::from(place.used) << 32 | u64::from(slot))
    }

    pub(crate) fn find(&self, id: Id<T>) -> Option<&T> {
        let place = self.places.get(id.bits as u32 as usize)?;
        if u64::from(place.used) == id.bits >> 32 { place.thing.as_ref() } else { None }
    }

    pub(crate) fn find_mut(&mut self, id: Id<T>) -> Option<&mut T> {
        let place = self.places.get_mut(id.bits as u32 as usize)?;
        if u64::from(place.used) == id.bits >> 32 { place.thing.as_mut() } else { None }
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().filter_map(|place| place.thing.as_ref())
    }

    /// Takes it out.
    pub(crate) fn remove(&mut self, id: Id<T>) -> Option<T> {
        let slot = id.bits as u32;
        let place = self.places.get_mut(slot as usize)?;
        if u64::from(place.used) != id.bits >> 32 {
            return None;
        }
        let thing = place.thing.take()?;
        self.free.push(slot);
        Some(thing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_valid_for_one_thing_only() {
        let mut arena = Arena::new();
        let first = arena.insert('a');
        assert_eq!(arena.remove(first), Some('a'));
        let second = arena.insert('b');
        assert_eq!((arena.find(first), arena.find(second)), (None, Some(&'b')));
        assert_eq!(arena.remove(first), None);
        assert_eq!(arena.len(), 1);
        assert_eq!(arena.find(Id::from_bits(u64::MAX)), None);
    }
}
