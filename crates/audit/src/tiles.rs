//! The shape of C2SP `tlog-tiles`: which hashes lie in which file.
//!
//! A tile of level L and index N holds up to 256 hashes of level 8·L of the tree; an entry bundle holds the 256 entries under a tile of
//! level 0. Source: c2sp.org/tlog-tiles, "Merkle Tree" and "Log entries".

use crate::merkle::{Hash, node_hash};

/// Hashes in a full tile, entries in a full entry bundle.
pub(crate) const TILE_WIDTH: u64 = 256;

/// The path of a hash tile within the export: `tile/0/x001/067`, with `.p/W` where the tile is partial.
pub(crate) fn tile_path(level: u8, index: u64, width: u64) -> String {
    format!("tile/{level}/{}", index_path(index, width))
}

/// The path of an entry bundle within the export: `tile/entries/x001/067`, likewise.
pub(crate) fn entries_path(index: u64, width: u64) -> String {
    format!("tile/entries/{}", index_path(index, width))
}

/// An index in groups of three digits, all but the last with an `x`, so that no directory grows beyond a thousand names.
fn index_path(index: u64, width: u64) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    if width < TILE_WIDTH { format!("{path}.p/{width}") } else { path }
}

/// A tile that is complete, or the partial one at the end of its level.
pub(crate) struct Tile<'a> {
    pub(crate) level: u8,
    pub(crate) index: u64,
    pub(crate) hashes: &'a [Hash],
}

impl Tile<'_> {
    /// Where it lies within the export.
    pub(crate) fn path(&self) -> String {
        tile_path(self.level, self.index, self.hashes.len() as u64)
    }

    /// The file's content.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.hashes.iter().flat_map(|hash| hash.0).collect()
    }
}

/// Makes tiles of leaf hashes that come one after the other; holds at most 256 hashes for each level.
#[derive(Default)]
pub(crate) struct Tiler {
    levels: Vec<Level>,
}

#[derive(Default)]
struct Level {
    index: u64,
    hashes: Vec<Hash>,
}

impl Tiler {
    /// Adds a leaf, and hands over every tile that it completes.
    pub(crate) fn push<E>(&mut self, leaf: Hash, emit: &mut impl FnMut(Tile<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut hash = leaf;
        for level in 0_u8.. {
            if self.levels.len() <= usize::from(level) {
                self.levels.push(Level::default());
            }
            let Some(current) = self.levels.get_mut(usize::from(level)) else { break };
            current.hashes.push(hash);
            if (current.hashes.len() as u64) < TILE_WIDTH {
                break;
            }
            emit(Tile { level, index: current.index, hashes: &current.hashes })?;
            hash = perfect_root(&current.hashes);
            current.hashes.clear();
            current.index += 1;
        }
        Ok(())
    }

    /// Hands over the partial tiles at the end.
    pub(crate) fn finish<E>(self, emit: &mut impl FnMut(Tile<'_>) -> Result<(), E>) -> Result<(), E> {
        for (level, current) in (0_u8..).zip(&self.levels) {
            if !current.hashes.is_empty() {
                emit(Tile { level, index: current.index, hashes: &current.hashes })?;
            }
        }
        Ok(())
    }
}

/// The root over a power of two of hashes.
fn perfect_root(hashes: &[Hash]) -> Hash {
    match hashes {
        [only] => *only,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            node_hash(perfect_root(left), perfect_root(right))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(tile_path(0, 0, 256), "tile/0/000");
        assert_eq!(tile_path(1, 1_234_067, 256), "tile/1/x001/x234/067");
        assert_eq!(entries_path(1067, 7), "tile/entries/x001/067.p/7");
    }
}
