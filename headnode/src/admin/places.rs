//! Places that calls of admins take: so many in all, so many for one caller, and the last is for who has the scope `admin`.
//! Whoever may only look, or is slow, keeps nobody from acting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Scope;

/// See the module.
#[derive(Clone)]
pub struct Places(Arc<Shared>);

struct Shared {
    total: usize,
    each: usize,
    taken: Mutex<HashMap<String, usize>>,
}

impl Shared {
    fn taken(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    /// `total` places, `each` for one caller; who has the scope `admin` may take all.
    pub fn new(total: usize, each: usize) -> Self {
        Self(Arc::new(Shared { total, each, taken: Mutex::default() }))
    }

    /// A place for `whose` call, if there is one.
    pub fn take(&self, whose: &str, scope: Scope) -> Option<Place> {
        let mut taken = self.0.taken();
        let all = taken.values().sum::<usize>();
        let own = taken.get(whose).copied().unwrap_or_default();
        let is_free = match scope {
            Scope::Admin => all < self.0.total,
            _ => all + 1 < self.0.total && own < self.0.each,
        };
        if !is_free {
            return None;
        }
        taken.insert(whose.to_owned(), own + 1);
        Some(Place { places: self.clone(), whose: whose.to_owned() })
    }
}

/// One that is taken, until it is dropped.
pub struct Place {
    places: Places,
    whose: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.taken();
        if let Some(own) = taken.get_mut(&self.whose) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_the_last_place_is_for_admins() {
        let places = Places::new(4, 2);
        let take = |whose, scope| places.take(whose, scope);
        let mut held = vec![take("a", Scope::Read).unwrap(), take("a", Scope::Operate).unwrap()];
        assert!(take("a", Scope::Operate).is_none(), "one caller");
        held.push(take("b", Scope::Read).unwrap());
        assert!(take("c", Scope::Operate).is_none(), "the last one");
        held.push(take("root", Scope::Admin).unwrap());
        assert!(take("root", Scope::Admin).is_none(), "all");
        held.clear();
        assert!(places.0.taken().is_empty());
        held.extend((0..4).map(|_| take("root", Scope::Admin).unwrap()));
    }
}
