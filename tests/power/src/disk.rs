//! Files as a power cut leaves them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fastrand::Rng;

use crate::layer::Deed;

/// How the writes since the last sync fare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// None of them is there.
    None,
    /// The first so many are there, the next one in part.
    First,
    /// Each sector is there or not.
    Some,
    /// The same, and they were written in another order.
    Shuffled,
    /// All but one are there.
    AllButOne,
    /// All are there.
    All,
}

pub const FATES: [Fate; 6] = [Fate::None, Fate::First, Fate::Some, Fate::Shuffled, Fate::AllButOne, Fate::All];

/// A disk whose writes are kept by sectors of so many bytes.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    files: BTreeMap<PathBuf, File>,
}

#[derive(Debug, Clone, Default)]
struct File {
    /// What is there whatever happens; `None` for no file.
    safe: Option<Vec<u8>>,
    /// What was done since.
    since: Vec<Deed>,
}

impl Disk {
    pub fn do_(&mut self, path: &Path, deed: &Deed) {
        let file = self.files.entry(path.to_owned()).or_default();
        match deed {
            // That there is a file, or none, is in the file system's own log.
            Deed::Create => {
                file.since.clear();
                file.safe = Some(Vec::new());
            }
            Deed::Remove { synced: true } => *file = File::default(),
            Deed::SyncFolder => self.files.values_mut().for_each(File::sync_folder),
            Deed::Sync => {
                let mut safe = file.safe.take();
                file.since.drain(..).for_each(|deed| apply(&mut safe, &deed));
                file.safe = safe;
            }
            deed => file.since.push(deed.clone()),
        }
    }

    /// The files after a power cut, those that are there.
    pub fn cut(&self, fate: Fate, sector: usize, rng: &mut Rng) -> BTreeMap<PathBuf, Vec<u8>> {
        let left = self.files.iter().map(|(path, file)| (path.clone(), file.cut(fate, sector, rng)));
        left.filter_map(|(path, bytes)| Some((path, bytes?))).collect()
    }
}

impl File {
    fn sync_folder(&mut self) {
        if let Some(place) = self.since.iter().rposition(|deed| matches!(deed, Deed::Remove { .. })) {
            self.since.drain(..=place);
            self.safe = None;
        }
    }

    fn cut(&self, fate: Fate, sector: usize, rng: &mut Rng) -> Option<Vec<u8>> {
        let mut deeds: Vec<Deed> = self.since.iter().flat_map(|deed| sectors(deed, sector)).collect();
        match fate {
            Fate::None => deeds.clear(),
            Fate::First => deeds.truncate(rng.usize(0..=deeds.len())),
            Fate::Some | Fate::Shuffled => {
                let most = *rng.choice(&[1, 5, 9]).expect("one");
                deeds.retain(|_| rng.u8(0..10) < most);
                if fate == Fate::Shuffled {
                    rng.shuffle(&mut deeds);
                }
            }
            Fate::AllButOne => {
                if !deeds.is_empty() {
                    deeds.remove(rng.usize(0..deeds.len()));
                }
            }
            Fate::All => {}
        }
        let mut bytes = self.safe.clone();
        deeds.iter().for_each(|deed| apply(&mut bytes, deed));
        bytes
    }
}

/// A deed as the disk does it: a write sector by sector.
fn sectors(deed: &Deed, sector: usize) -> Vec<Deed> {
    let Deed::Write { at, bytes } = deed else { return vec![deed.clone()] };
    let (mut parts, mut done) = (Vec::new(), 0);
    while done < bytes.len() {
        let at = at + done;
        let many = (sector - at % sector).min(bytes.len() - done);
        parts.push(Deed::Write { at, bytes: bytes[done..done + many].to_vec() });
        done += many;
    }
    parts
}

fn apply(file: &mut Option<Vec<u8>>, deed: &Deed) {
    match deed {
        Deed::Write { at, bytes } => {
            let file = file.get_or_insert_default();
            let end = at + bytes.len();
            if file.len() < end {
                file.resize(end, 0);
            }
            file[*at..end].copy_from_slice(bytes);
        }
        Deed::Truncate { to } => {
            if let Some(file) = file {
                file.resize(*to, 0);
            }
        }
        Deed::Remove { .. } => *file = None,
        Deed::Create | Deed::Sync | Deed::SyncFolder => {}
    }
}
