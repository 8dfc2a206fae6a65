//! Where new partitions go: the free space of a disk, and who gets how much of it. All in MiB.

use super::{Piece, TableError, usable};
use crate::facts;
use crate::table::kept::Kept;
use crate::units::MIB;

/// Free space between partitions that are kept, and what goes there.
pub(super) struct Gap {
    from: u64,
    to: u64,
    /// Index of the piece, and its size.
    pieces: Vec<(usize, u64)>,
    /// Indices of the pieces that share what the others leave.
    growing: Vec<usize>,
}

impl Gap {
    /// What no piece of a fixed size has.
    pub fn free(&self) -> u64 {
        self.to - self.from - self.pieces.iter().map(|(_, mib)| mib).sum::<u64>()
    }

    /// Index, begin and end of its pieces, by index and without space between them.
    pub fn spans(&self) -> Vec<(usize, u64, u64)> {
        let mut pieces = self.pieces.clone();
        pieces.sort_unstable();
        let mut next = self.from;
        let one = |(index, mib)| {
            next += mib;
            (index, next - mib, next)
        };
        pieces.into_iter().map(one).collect()
    }

    /// What the piece would have of it beside those that grow here already; `None` if there is no room for all of them.
    fn share(&self, index: usize, pieces: &[Piece<'_>]) -> Option<u64> {
        let all = [&self.growing[..], &[index]].concat();
        let least = all.iter().map(|index| pieces[*index].least).fold(0, u64::saturating_add);
        let shares = (least <= self.free()).then(|| shares(self.free(), all, pieces))?;
        shares.into_iter().find(|(one, _)| *one == index).map(|(_, mib)| mib)
    }

    /// Gives those that grow their shares.
    fn grow(&mut self, pieces: &[Piece<'_>]) {
        let growing = std::mem::take(&mut self.growing);
        self.pieces.extend(shares(self.free(), growing, pieces));
    }
}

/// Shares what is free among those that grow, who have room for their least sizes. Who would get less than that gets its
/// least size, and the others share the rest; the last of them has what rounding leaves.
fn shares(mut free: u64, mut growing: Vec<usize>, pieces: &[Piece<'_>]) -> Vec<(usize, u64)> {
    growing.sort_unstable();
    let mut shares = Vec::new();
    while let Some(last) = growing.last().copied() {
        let weights = growing.iter().map(|index| u64::from(pieces[*index].weight)).sum();
        let share = |index: usize| portion(free, pieces[index].weight, weights);
        let (short, long): (Vec<usize>, Vec<usize>) =
            growing.iter().partition(|index| share(**index) < pieces[**index].least);
        let mut given: Vec<(usize, u64)> = match short.is_empty() {
            true => long.iter().map(|index| (*index, share(*index))).collect(),
            false => short.iter().map(|index| (*index, pieces[*index].least)).collect(),
        };
        free -= given.iter().map(|(_, mib)| mib).sum::<u64>();
        if short.is_empty() {
            given.iter_mut().filter(|(index, _)| *index == last).for_each(|(_, mib)| *mib += free);
        }
        shares.extend(given);
        growing = if short.is_empty() { Vec::new() } else { long };
    }
    shares
}

/// `free * weight / weights`, rounded down.
fn portion(free: u64, weight: u32, weights: u64) -> u64 {
    let portion = u128::from(free) * u128::from(weight) / u128::from(weights.max(1));
    u64::try_from(portion).unwrap_or(free)
}

/// What is free between `kept`, which are in order. The first MiB is lost to the table and to alignment.
pub(super) fn between(kept: &[Kept], disk: &facts::Disk) -> Vec<Gap> {
    let align = MIB / u64::from(disk.sector);
    let end = usable(disk.size, disk.sector).map_or(0, |(_, last)| last + 1);
    let starts = std::iter::once(align).chain(kept.iter().map(|kept| kept.entry.last + 1));
    let ends = kept.iter().map(|kept| kept.entry.first).chain(std::iter::once(end));
    let gap = |(from, to): (u64, u64)| Gap {
        from: from.div_ceil(align),
        to: (to / align).max(from.div_ceil(align)),
        pieces: Vec::new(),
        growing: Vec::new(),
    };
    starts.zip(ends).map(gap).collect()
}

/// Puts each piece into a gap: those of a fixed size in the NII's order, each into the first gap that takes it. Those that
/// grow follow, the heaviest first, each to where it gets most beside those that are there already: a single one has the
/// largest gap that is left.
pub(super) fn place(pieces: &[Piece<'_>], gaps: &mut [Gap], disk: &facts::Disk) -> Result<(), TableError> {
    let numbered = || pieces.iter().enumerate();
    for (index, piece) in numbered().filter(|(_, piece)| piece.weight == 0) {
        match gaps.iter_mut().find(|gap| gap.free() >= piece.least) {
            Some(gap) => gap.pieces.push((index, piece.least)),
            None => return Err(no_room(piece, disk)),
        }
    }
    let mut growing: Vec<(usize, &Piece<'_>)> = numbered().filter(|(_, piece)| piece.weight > 0).collect();
    growing.sort_by_key(|(index, piece)| (std::cmp::Reverse(piece.weight), *index));
    for (index, piece) in growing {
        let shares = gaps.iter_mut().filter_map(|gap| Some((gap.share(index, pieces)?, gap)));
        match shares.max_by_key(|(share, _)| *share) {
            Some((_, gap)) => gap.growing.push(index),
            None => return Err(no_room(piece, disk)),
        }
    }
    gaps.iter_mut().for_each(|gap| gap.grow(pieces));
    Ok(())
}

fn no_room(piece: &Piece<'_>, disk: &facts::Disk) -> TableError {
    let size = piece.least.saturating_mul(MIB);
    TableError::NoRoom { disk: disk.path.clone(), label: piece.label.into(), size }
}
